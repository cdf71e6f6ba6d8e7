// Package reference is a slow and obvious model of a lab's packets, written from AWS's documents and not from the engine: plain structs,
// linear searches, and everything computed anew for each packet. Tests compare the engine with it. It knows neither headers nor
// fragments, caches nothing, and no program imports it.
package reference
