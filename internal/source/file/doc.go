// Package file holds what each file of a project may say, and reads one file by
// itself, whatever the others say.
//
// The structs of declare.go are the declarations: the strict decoder, the JSON
// Schema and the reference page are made from their tags. Parse never fails: what
// is wrong with a file is among its problems, each with a place. The package must
// not know other files, the environment, or what a name stands for.
package file
