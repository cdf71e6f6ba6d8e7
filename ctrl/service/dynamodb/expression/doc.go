// Package expression is DynamoDB's expression language: conditions and filters, key conditions, projections and updates (developer guide,
// Using expressions in DynamoDB). It evaluates them on single items; it finds no items and stores none.
package expression
