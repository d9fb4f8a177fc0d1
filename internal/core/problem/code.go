package problem

// Code identifies a kind of problem. `tidemill explain CODE` prints its entry.
// Codes are interface: never reuse or renumber one.
type Code string

// The codes, by what they are about: TM1 files and syntax, TM2 names and
// references, TM3 time, TM4 SQL and Python, TM5 contracts, TM6 stores and modes.
const (
	BadYAML          Code = "TM101"
	UnknownKey       Code = "TM102"
	DuplicateKey     Code = "TM103"
	WrongType        Code = "TM104"
	MissingKey       Code = "TM105"
	BadName          Code = "TM106"
	TooLarge         Code = "TM107"
	BadPath          Code = "TM108"
	NoProject        Code = "TM109"
	BadHeader        Code = "TM110"
	NoKind           Code = "TM111"
	TwoKinds         Code = "TM112"
	UnquotedBrace    Code = "TM113"
	BadInterpolation Code = "TM114"
	BadValue         Code = "TM115"
	StrayFile        Code = "TM116"

	Cycle            Code = "TM201"
	TwoWriters       Code = "TM202"
	UnknownTable     Code = "TM203"
	UnknownStore     Code = "TM204"
	UnknownParam     Code = "TM205"
	UnknownSecret    Code = "TM206"
	UnknownTask      Code = "TM207"
	UnknownSet       Code = "TM208"
	UnknownModel     Code = "TM209"
	DuplicateTask    Code = "TM210"
	UnknownChannel   Code = "TM211"
	UnknownEnv       Code = "TM212"
	BadTable         Code = "TM213"
	UnknownColumn    Code = "TM214"
	DuplicateBinding Code = "TM215"
	UnknownCalendar  Code = "TM216"
	UnknownPool      Code = "TM217"

	BadCron     Code = "TM301"
	BadZone     Code = "TM302"
	BadDuration Code = "TM303"
	EmptyWindow Code = "TM304"
	BadTime     Code = "TM305"
	NoSchedule  Code = "TM306"
	BadCalendar Code = "TM307"

	BadCEL          Code = "TM401"
	BadSQL          Code = "TM402"
	NotASelect      Code = "TM403"
	BadPython       Code = "TM404"
	BadSignature    Code = "TM405"
	BadParam        Code = "TM406"
	OutsideFunction Code = "TM407"

	BadContract    Code = "TM501"
	UnknownRule    Code = "TM502"
	BadPattern     Code = "TM503"
	BadType        Code = "TM504"
	NaiveTimestamp Code = "TM505"
	NoContract     Code = "TM506"
	BadBudget      Code = "TM507"
	NoKey          Code = "TM508"
	LeftBehind     Code = "TM509"
	Unbound        Code = "TM510"
	NoWarning      Code = "TM511"

	ModeImpossible Code = "TM601"
	UnknownKind    Code = "TM602"
	BadSetting     Code = "TM603"
	TooEarly       Code = "TM604"
	Skewed         Code = "TM605"
)

type entry struct {
	severity Severity
	title    string
	detail   string
}

func (c Code) entry() entry {
	if e, ok := table[c]; ok {
		return e
	}
	return entry{SeverityError, "unknown code", ""}
}

// Known reports whether the table has an entry for the code.
func (c Code) Known() bool { _, ok := table[c]; return ok }

// Title is the code's meaning in a few words.
func (c Code) Title() string { return c.entry().title }

// Detail explains the code: what it protects from, and how projects usually come to it.
func (c Code) Detail() string { return c.entry().detail }

// Codes returns every code of the table, in order.
func Codes() []Code { return sortedCodes() }
