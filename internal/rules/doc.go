// Package rules holds the rules of this repository that a program can judge, as tests: who may import whom, what is documented, which
// habits are not ours, and whether the documentation's commands do what they say. It has no code of its own, and no say in matters of
// taste.
package rules
