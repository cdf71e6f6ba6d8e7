// Package catalog is what a lab tells of its flow logs to those who read them: a small file that says which there are, where their records
// are and how delivery goes, and a reader that finds the records by it. It delivers nothing, and it knows no lab that runs.
package catalog
