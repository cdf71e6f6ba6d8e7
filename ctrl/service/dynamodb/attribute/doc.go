// Package attribute is DynamoDB's data: values of every type, exact numbers, items, their JSON, their sizes and the order of keys. It
// knows neither tables nor expressions.
package attribute

import "fmt"

// Invalid is what is wrong with data or with an expression, in AWS's words; to clients it is a ValidationException.
type Invalid string

// Error is the message.
func (i Invalid) Error() string { return string(i) }

// Invalidf is an Invalid with its message formatted.
func Invalidf(format string, args ...any) Invalid { return Invalid(fmt.Sprintf(format, args...)) }
