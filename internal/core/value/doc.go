// Package value says what a value of each type is, and how text and other values
// become one: the scalar meaning of a cast, to which the vectors of kernel and
// the SQL of core/contract are held.
//
// The package guarantees that a cast either gives the same value or a Flaw that
// says why not; only a lossy caster changes values. It must not read a clock, a
// file or a time zone by name: zones are arguments.
//
// # How text becomes values
//
// Nothing is trimmed, rounded or guessed. ASCII digits only.
//
//   - string: any UTF-8 text without NUL, also the empty one; Length counts
//     characters (code points).
//   - bool: true, false, t, f, yes, no, y, n, 1, 0, in any case.
//   - decimal(p,s): an optional sign, digits, and optionally a point with digits
//     on at least one side of it: 12, +5, -0.50, .5, 12. are numbers; 1e3, 0x10,
//     1_000 and 1,000 are not. Digits after the point beyond s must be zeros.
//     There is no rounding: 2.675 is no decimal(10,2).
//   - int16, int32, int64, uint64: a decimal text whose fraction is zero (517,
//     517.0), within the range of the type.
//   - float32, float64: a decimal text with an optional exponent (1e3, 2.5E-3),
//     read as the nearest number; or nan, inf, infinity in any case, the latter
//     two with an optional sign. Beyond the largest number is out of range;
//     below the smallest is zero.
//   - date: YYYY-MM-DD, years 0001 to 9999, a day that exists.
//   - time: HH:MM, HH:MM:SS or HH:MM:SS.ffffff, up to 23:59:59.999999. Digits
//     finer than the type's unit must be zeros. 24:00 and second 60 are none.
//   - timestamp: a date, T or a space, a time. An offset is refused.
//   - timestamptz: the same with an offset: Z, ±HH, ±HHMM or ±HH:MM, at most 15:59.
//     Without one, the default time zone decides; where none is given the text is
//     refused, and so is a wall clock that the zone skips or shows twice. The
//     instant lies in the years 1 to 9999 of UTC.
//   - uuid: 8-4-4-4-12 hexadecimal digits in any case, kept in lower case.
//   - json: one JSON document (RFC 8259) whose escapes are characters other than NUL.
//     With a shape, only an object or only an array.
//   - bytes: \x and an even number of hexadecimal digits.
//   - list, struct: a JSON array or object whose values follow these rules; a
//     missing member is null, an unknown one is refused.
//
// A field with a format (a pattern of JDK letters) is read by that format and
// nothing else.
//
// # How a type is guessed
//
// A Guess takes the texts of a column one by one and names the narrowest type that
// reads each of them and loses nothing: true and false; whole numbers of 64 bits;
// numbers whose nearest float64 is written as the same number; days; timestamps
// without zone, and with one, to the microsecond; objects and lists. Numbers with
// zeros or a plus in front are text, for they are codes as often as numbers; so is
// whatever mixes two of these, but for whole numbers among others. Where no value
// is, the guess is text. NaN and infinities are numbers beside numbers, and text
// otherwise.
//
// # How values become other values
//
// A number fits another number type if it is the same number there. Of a binary
// floating-point number, "the number" is the shortest decimal text that reads
// back as it: 0.1 fits decimal(2,1) and float32, 0.1 + 0.2 fits neither. A
// float32 becomes the same binary number as float64. NaN and infinities fit
// floats only. A day becomes its midnight; only a midnight
// becomes a day. A wall clock and an instant become each other in the default
// time zone. Values become text as they are written above, shortest form.
//
// # Coerce
//
// The verdict coerce replaces a value that fails, and the gate counts it. For
// the type rule it reads again: white space around the text is ignored, numbers
// are rounded half away from zero, finer parts of a second are cut, an instant
// gives its date as written, a day its midnight, a skipped or repeated hour the
// first instant that its clock can mean. For the length rule, text that is too
// long is cut. Everything else becomes null.
package value
