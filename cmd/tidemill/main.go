// Command tidemill is a scheduler and a data store in one program.
package main

import (
	"os"
	_ "time/tzdata" // zones travel with the program: machines without zone files read the same schedules

	"golang.org/x/term"

	"github.com/tidemill/tidemill/internal/cli"
)

func main() {
	_, plain := os.LookupEnv("NO_COLOR") //nolint:forbidigo // what every program of a terminal heeds; no setting of ours
	os.Exit(cli.Main(os.Args[1:], cli.Streams{
		In: os.Stdin, Out: os.Stdout, Err: os.Stderr,
		Terminal: term.IsTerminal(int(os.Stderr.Fd())),
		Colour:   term.IsTerminal(int(os.Stdout.Fd())) && !plain,
	}))
}
