// Package endtoend holds tests of the built program: real processes, real
// signals, real files. What a user would type is what they run.
package endtoend
