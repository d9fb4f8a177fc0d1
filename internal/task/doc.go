// Package task is what an attempt does, one file per kind of task.
//
// It composes the rest: bundle, stores, gate, publish, processes, sessions. An
// attempt's outcome is one of four words for the server (protocol.Outcome) and
// a kind that says who must act. Success means that everything the attempt
// wanted is committed; nothing that failed leaves a row visible.
package task
