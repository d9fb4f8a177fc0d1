// Package contract turns the agreement about a table into one meaning.
//
// A contract is a file in the Open Data Contract Standard 3.1; source decodes it
// into a Document, and Compile turns that into Tables with a closed set of
// Checks. Check.Judge is the meaning of a row check, value by value; gate is the
// fast form of it, Check.SQL the form that an engine runs, or the answer that
// the engine cannot say it exactly. Tests hold the three to each other.
//
// The package guarantees that compiled tables round-trip through JSON (they
// travel in bundles) and that a rule which cannot be judged is a problem, never
// left out. It must not read files, look at a clock, or run an engine. Time
// zones, and patterns that need a backtracking matcher, come from outside: see
// Outside.
//
// # What a rule looks at
//
// How text and typed values become values of a field's type is said in
// core/value, once for all.
//
// Every rule but type looks at the value after the cast. Null fails required and
// nothing else. Where the cast fails, only the type rule fails.
package contract
