// Package source reads a project folder: it turns files into a checked
// project.Project, compiled contracts, and the files of a bundle.
//
// What it guarantees: all problems are found in one pass, each with file, line
// and column; reading never runs user code and never panics; a pipeline with an
// error is left out and named, and hides no other; what a bundle would hold are
// exactly the bytes that were checked; the result depends on nothing but the
// folder's content, the environment's name and what Options bring.
//
// What it must not do: open stores, look up secrets, look at the clock (but for
// the age of a file's change, see scan), or know how a bundle is kept. The parser
// of SQL and the reader of Python come as arguments.
package source
