// Package archtest holds the test that reads the map in docs/ARCHITECTURE.md and
// fails when code and map differ.
package archtest
