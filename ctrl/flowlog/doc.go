// Package flowlog makes VPC flow-log records out of what interfaces saw: who subscribes to what, windows of lab time, AWS's fields and
// formats, and the way back from a line to its fields. It reads no clock, opens no file and knows no network: time is an argument, and
// what becomes of a record is decided by who ranges over a Window.
//
//	Sample ─► Aggregator ─► Window ─► (Subscription, Record) ─► Format ─► a line ─► Row
//
// What records say, and when, follows the VPC user guide's pages "Flow log records" and "Flow log record examples".
package flowlog
