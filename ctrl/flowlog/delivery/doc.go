// Package delivery brings records to where subscriptions want them: from the closed windows into a bounded spool on disk, and from there,
// after their delay in lab time, to a Destination, again and again until it takes them. It does not know how any destination stores them,
// waits for nothing, and asks nobody for the time.
//
//	Window ─► Log.Write ─► segments on disk ─► Log.Deliver ─► Destination
//	                           │ no room                │ fails
//	                           ▼                        ▼
//	                 counted as skipped, SKIPDATA   state, backoff, again
//
// A record that was accepted is delivered at least once, also when the process dies: a spool that is found again is delivered first.
package delivery
