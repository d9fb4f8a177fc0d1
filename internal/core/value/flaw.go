package value

// Flaw says why a value cannot be cast. The zero Flaw is none. Flaws are small
// numbers so that a column of bad values costs no allocation each.
type Flaw uint8

// The flaws.
const (
	Sound Flaw = iota
	NotBool
	NotNumber
	HasFraction
	TooFine
	OutOfRange
	NotDate
	NoSuchDay
	NotTime
	NotTimestamp
	NoZone
	HasZone
	SkippedHour
	RepeatedHour
	NotMidnight
	NotUUID
	NotJSON
	NotObject
	NotArray
	NotBytes
	NotUTF8
	HasNUL
	TooLong
	NotFormat
	NotList
	NotStruct
	NoCast
	Inexact
	flaws // their number
)

var flawWords = [flaws]string{
	Sound:        "",
	NotBool:      "is not true or false",
	NotNumber:    "is not a number",
	HasFraction:  "is not a whole number",
	TooFine:      "has more digits after the point than the type keeps",
	OutOfRange:   "is out of the range of the type",
	NotDate:      "is not a date (YYYY-MM-DD)",
	NoSuchDay:    "is a day that does not exist",
	NotTime:      "is not a time of day (HH:MM:SS)",
	NotTimestamp: "is not a timestamp (YYYY-MM-DDTHH:MM:SS)",
	NoZone:       "has no time zone, and the contract names no default",
	HasZone:      "has a time zone, and the field has none",
	SkippedHour:  "lies in the hour that the time zone skips",
	RepeatedHour: "lies in the hour that the time zone repeats",
	NotMidnight:  "is not a midnight, so it is not a date",
	NotUUID:      "is not a UUID",
	NotJSON:      "is not a JSON document",
	NotObject:    "is not a JSON object",
	NotArray:     "is not a JSON array",
	NotBytes:     `is not \x with hexadecimal digits`,
	NotUTF8:      "is not UTF-8 text",
	HasNUL:       "contains the character NUL",
	TooLong:      "has more characters than the type keeps",
	NotFormat:    "is not written in the field's format",
	NotList:      "is not a list of such values",
	NotStruct:    "is not a struct of such members",
	NoCast:       "has a type that cannot become the field's",
	Inexact:      "is a number that the type cannot hold exactly",
}

// String returns the flaw as the end of a sentence that begins with the value.
func (f Flaw) String() string {
	if f < flaws {
		return flawWords[f]
	}
	return "cannot be cast"
}
