// Package scenario reads the scenario language: files into a model, checks and steps, with every mistake reported at its line and
// column. It builds nothing and runs nothing.
package scenario
