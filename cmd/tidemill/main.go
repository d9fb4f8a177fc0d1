// Command tidemill is a scheduler and a data store in one program.
package main

import (
	"os"
	_ "time/tzdata" // zones travel with the program: machines without zone files read the same schedules

	"github.com/tidemill/tidemill/internal/cli"
)

func main() {
	info, err := os.Stderr.Stat()
	terminal := err == nil && info.Mode()&os.ModeCharDevice != 0
	os.Exit(cli.Main(os.Args[1:], cli.Streams{In: os.Stdin, Out: os.Stdout, Err: os.Stderr, Terminal: terminal}))
}
