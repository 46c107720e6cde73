package protocol

import (
	"strings"
	"testing"
	"unicode/utf8"
)

// What a client sent does not grow the answer about it, wherever it is cut.
func TestErrorsClipWhatTheyRepeat(t *testing.T) {
	t.Parallel()
	for _, long := range []string{strings.Repeat("k", 16<<10), strings.Repeat("€", 5<<10)} {
		for _, e := range []*Error{
			ErrUnknownKey(long), ErrUnknownEvent(long), ErrChannelName(long), ErrNotSubscribed(long), ErrAlreadySubscribed(long),
			ErrNoSubscription(long), ErrAuthRequired(long), ErrAuthKey(long), ErrAuthSignature(nil, long), ErrNotThatUser(long),
		} {
			if len(e.Message) > 350 || !utf8.ValidString(e.Message) || !strings.Contains(e.Message, "…") {
				t.Errorf("%d bytes: %s", len(e.Message), e.Message)
			}
		}
	}
}
