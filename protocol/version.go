package protocol

import "strconv"

// Protocol versions that are accepted (PROTOCOL 1.9, 1.10).
const (
	minVersion = 4
	maxVersion = 7
)

// CheckVersion judges the query parameter "protocol" of a connection request;
// given says whether it was there at all (PROTOCOL 1.9–1.12).
func CheckVersion(value string, given bool) *Error {
	if !given || value == "" {
		return ErrNoProtocol
	}
	v, err := strconv.Atoi(value)
	switch {
	case err != nil:
		return ErrBadVersion
	case v < minVersion || v > maxVersion:
		return ErrOldProtocol
	}
	return nil
}
