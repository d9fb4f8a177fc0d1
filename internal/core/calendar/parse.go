package calendar

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// maxExpression is far beyond any sensible expression; it keeps messages readable.
const maxExpression = 1000

// field describes one of the five places of an expression.
type field struct {
	name     string
	low      int
	high     int
	names    []string // three letters each, the first stands for low
	sunday7  bool     // 7 may be written for Sunday
	monthDay bool     // "L" is allowed
	weekDay  bool     // "5L" and "MON#2" are allowed
}

var fields = [5]field{
	{name: FieldMinute, low: 0, high: 59},
	{name: FieldHour, low: 0, high: 23},
	{name: FieldDayOfMonth, low: 1, high: 31, monthDay: true},
	{
		name: FieldMonth, low: 1, high: 12,
		names: []string{"JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"},
	},
	{
		name: FieldDayOfWeek, low: 0, high: 6, sunday7: true, weekDay: true,
		names: []string{"SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"},
	},
}

// nicknames are the "@" forms and the expressions that they stand for.
var nicknames = map[string]string{
	"@hourly":   "0 * * * *",
	"@daily":    "0 0 * * *",
	"@midnight": "0 0 * * *",
	"@weekly":   "0 0 * * 0",
	"@monthly":  "0 0 1 * *",
	"@yearly":   "0 0 1 1 *",
	"@annually": "0 0 1 1 *",
}

// ParseCron reads a cron expression of five fields, or one of the "@daily"
// family. A nil zone is UTC. The error is a *ParseError.
func ParseCron(text string, zone *time.Location) (Cron, error) {
	c := Cron{text: text, zone: orUTC(zone)}
	words, err := splitExpression(text)
	if err != nil {
		return Cron{}, err
	}
	var sets [5]itemSet
	for i, w := range words {
		if err := parseField(fields[i], w, &sets[i]); err != nil {
			return Cron{}, err
		}
	}
	c.minutes = sets[0].bits
	c.hours, c.running = uint32(sets[1].bits), sets[1].star
	c.months = uint16(sets[3].bits)
	c.days = daySet{
		ofMonth: uint32(sets[2].bits), last: sets[2].last, monthOpen: sets[2].star,
		ofWeek: uint8(sets[4].bits), nth: sets[4].nth, lastWeek: sets[4].lastWeek, weekOpen: sets[4].star,
	}
	if !c.satisfiable() {
		return Cron{}, &ParseError{
			Field: FieldDayOfMonth, Text: words[2].text, Offset: words[2].offset,
			Problem: "no date ever matches day of month, month and day of week together",
			Remedy:  "Choose a day that the months have; \"L\" is the last day of any month.",
		}
	}
	return c, nil
}

// word is a piece of the expression and its place in it.
type word struct {
	text   string
	offset int
}

// splitExpression returns the five fields of an expression, nicknames resolved.
func splitExpression(text string) ([]word, error) {
	whole := func(problem, remedy string) error {
		shown := text
		if len(shown) > 60 {
			shown = strings.ToValidUTF8(shown[:60], "") + "…"
		}
		return &ParseError{Field: FieldExpression, Text: shown, Problem: problem, Remedy: remedy}
	}
	const shape = `Write five fields: minute, hour, day of month, month, day of week, as in "30 6 * * MON-FRI".`
	if len(text) > maxExpression {
		return nil, whole("the expression is too long", "Split it into several pipelines.")
	}
	words := splitWords(text)
	switch {
	case len(words) == 0:
		return nil, whole("the expression is empty", shape)
	case strings.HasPrefix(words[0].text, "TZ=") || strings.HasPrefix(words[0].text, "CRON_TZ="):
		return nil, whole("the zone is no part of the expression", `Leave it out and set "timezone:" beside the schedule.`)
	case strings.HasPrefix(words[0].text, "@"):
		return splitNickname(words, whole)
	case len(words) == 6 || len(words) == 7:
		return nil, whole(fmt.Sprintf("it has %d fields instead of five", len(words)),
			"Leave out seconds and years: they are not fields here; \"every: 30s\" runs more often than each minute.")
	case len(words) != 5:
		return nil, whole(fmt.Sprintf("it has %d fields instead of five", len(words)), shape)
	}
	return words, nil
}

func splitNickname(words []word, whole func(problem, remedy string) error) ([]word, error) {
	name := strings.ToLower(words[0].text)
	if name == "@every" {
		return nil, whole("an interval is no cron expression", `Write "every: 5m" in place of "cron:".`)
	}
	expression, known := nicknames[name]
	if !known || len(words) > 1 {
		return nil, whole("this short form is not known",
			"Write one of @hourly, @daily, @midnight, @weekly, @monthly, @yearly, @annually, or five fields.")
	}
	return splitWords(expression), nil
}

// splitWords cuts at blanks and keeps the places.
func splitWords(text string) []word {
	var words []word
	start := -1
	for i := range len(text) + 1 {
		blank := i == len(text) || strings.IndexByte(" \t\r\n", text[i]) >= 0
		switch {
		case blank && start >= 0:
			words = append(words, word{text[start:i], start})
			start = -1
		case !blank && start < 0:
			start = i
		}
	}
	return words
}

// itemSet is what one field says.
type itemSet struct {
	bits     uint64
	star     bool
	last     bool
	nth      [6]uint8
	lastWeek uint8
}

// parseField reads the comma-separated items of a field.
func parseField(f field, w word, set *itemSet) error {
	offset := w.offset
	for item := range strings.SplitSeq(w.text, ",") {
		if err := f.parseItem(word{item, offset}, set); err != nil {
			return err
		}
		offset += len(item) + 1
	}
	return nil
}

func (f field) fail(w word, problem, remedy string) error {
	return &ParseError{Field: f.name, Text: w.text, Offset: w.offset, Problem: problem, Remedy: remedy}
}

// parseItem reads one item: "*", a value, a range, either with a step, or a day form.
func (f field) parseItem(item word, set *itemSet) error {
	if item.text == "" {
		return f.fail(item, "an item of the list is empty", "Write values with one comma between them, as in \"1,15\".")
	}
	if done, err := f.parseDayForm(item, set); done || err != nil {
		return err
	}
	body, stepText, stepped := strings.Cut(item.text, "/")
	step := 1
	if stepped {
		var err error
		if step, err = f.parseStep(word{stepText, item.offset + len(body) + 1}); err != nil {
			return err
		}
	}
	low, high := f.low, f.high
	if body == "*" || body == "?" {
		set.star = true
	} else {
		from, to, ranged := strings.Cut(body, "-")
		var err error
		if low, err = f.parseValue(word{from, item.offset}); err != nil {
			return err
		}
		switch {
		case ranged:
			if high, err = f.parseValue(word{to, item.offset + len(from) + 1}); err != nil {
				return err
			}
			if f.sunday7 && high == 0 && low > 0 {
				high = 7 // FRI-SUN: Sunday ends the week as well as beginning it
			}
			if high < low {
				return f.fail(word{body, item.offset}, "the range ends before it begins", f.splitRange(from, to))
			}
		case !stepped:
			high = low
		}
	}
	for value := low; value <= high; value += step {
		set.bits |= 1 << f.fold(value)
	}
	return nil
}

// fold maps 7 to Sunday's 0 in the day of week field.
func (f field) fold(value int) int {
	if f.sunday7 && value == 7 {
		return 0
	}
	return value
}

// splitRange tells how to write a range that wraps around.
func (f field) splitRange(from, to string) string {
	last, first := strconv.Itoa(f.high), strconv.Itoa(f.low)
	if f.names != nil {
		last, first = f.names[len(f.names)-1], f.names[0]
	}
	return fmt.Sprintf("Write two ranges, %s-%s,%s-%s.", from, last, first, to)
}

func (f field) parseStep(w word) (int, error) {
	size := f.high - f.low + 1
	step, ok := parseNumber(w.text)
	if !ok || step < 1 || step > size {
		return 0, f.fail(w, "the step is not usable",
			fmt.Sprintf("Write a whole number from 1 to %d after the \"/\".", size))
	}
	return step, nil
}

// parseValue reads a number or a name. The day of week may come out as 7.
func (f field) parseValue(w word) (int, error) {
	if value, ok := parseNumber(w.text); ok {
		if value < f.low || value > f.high && (!f.sunday7 || value != 7) {
			return 0, f.fail(w, "the value is out of range", f.accepts())
		}
		return value, nil
	}
	for i, name := range f.names {
		if strings.EqualFold(w.text, name) {
			return f.low + i, nil
		}
	}
	for _, name := range f.names {
		if len(w.text) > 3 && strings.EqualFold(w.text[:3], name) {
			return 0, f.fail(w, "the name is not known", fmt.Sprintf("Write %s.", name))
		}
	}
	return 0, f.fail(w, "this is no value", f.accepts())
}

// accepts is the sentence that lists what the field accepts.
func (f field) accepts() string {
	sentence := fmt.Sprintf("Write a whole number from %d to %d", f.low, f.high)
	switch {
	case f.names != nil:
		sentence += fmt.Sprintf(", or a name from %s to %s", f.names[0], f.names[len(f.names)-1])
	case f.monthDay:
		sentence += ", or L for the last day"
	}
	return sentence + "."
}

// parseDayForm reads the forms that only the day fields have. It says whether the item was one.
func (f field) parseDayForm(item word, set *itemSet) (bool, error) {
	upper := strings.ToUpper(item.text)
	switch {
	case f.monthDay && upper == "L":
		set.last = true
		return true, nil
	case f.monthDay && (strings.HasPrefix(upper, "L") || strings.HasSuffix(upper, "W")):
		return true, f.fail(item, "this form is not known",
			"Write a day from 1 to 31, or L for the last day of the month.")
	case !f.weekDay:
		return false, nil
	case upper == "L":
		return true, f.fail(item, "it lacks the weekday",
			"Write SAT for Saturdays, or 6L for the last Saturday of the month.")
	case strings.Contains(item.text, "#"):
		return true, f.parseNth(item, set)
	case strings.HasSuffix(upper, "L") && len(upper) > 1:
		day, err := f.parseValue(word{item.text[:len(item.text)-1], item.offset})
		if err == nil {
			set.lastWeek |= 1 << f.fold(day)
		}
		return true, err
	}
	return false, nil
}

// parseNth reads "MON#2", the second Monday.
func (f field) parseNth(item word, set *itemSet) error {
	dayText, nthText, _ := strings.Cut(item.text, "#")
	day, err := f.parseValue(word{dayText, item.offset})
	if err != nil {
		return err
	}
	nth, ok := parseNumber(nthText)
	if !ok || nth < 1 || nth > 5 {
		return f.fail(word{nthText, item.offset + len(dayText) + 1}, "no month has such a week",
			"Write a whole number from 1 to 5 after the \"#\", or \"FRIL\" for the last Friday.")
	}
	set.nth[nth] |= 1 << f.fold(day)
	return nil
}

// parseNumber reads up to three decimal digits and nothing else.
func parseNumber(text string) (int, bool) {
	if text == "" || len(text) > 3 {
		return 0, false
	}
	value := 0
	for i := range len(text) {
		if text[i] < '0' || text[i] > '9' {
			return 0, false
		}
		value = value*10 + int(text[i]-'0')
	}
	return value, true
}
