package pipeline

import "time"

// verdictWindow is how many commits Burrow's judgement looks at.
const verdictWindow = 10

// commitSample is one commit of a partition as Burrow sees it.
type commitSample struct {
	at     time.Time // when it was seen or, of the last one, when the offset was last seen to move
	offset int64
	lag    int64 // by what the broker said of its end then
}

// verdict is Burrow's judgement of one partition: commits are its last commits, oldest first, at most verdictWindow;
// high is the high watermark now.
func verdict(commits []commitSample, high int64, now time.Time) Verdict {
	if len(commits) == 0 {
		return VerdictOK
	}
	first, last := commits[0], commits[len(commits)-1]
	if high <= last.offset {
		return VerdictOK
	}
	// Stopped: no commit for longer than the window spans, though the broker moved on since the last one. A window that
	// is not full yet spans as long as a full one does at least, for commits are looked at once a second.
	span := last.at.Sub(first.at)
	if len(commits) < verdictWindow {
		span = max(span, verdictWindow*time.Second)
	}
	if now.Sub(last.at) > span && high > last.offset+last.lag {
		return VerdictStop
	}
	// Rewound: the offset went back and did not come back to where it was.
	top := first.offset
	for _, c := range commits[1:] {
		if c.offset < top && last.offset < top {
			return VerdictRewind
		}
		top = max(top, c.offset)
	}
	stalled, grows := true, true
	for i, c := range commits {
		if c.lag == 0 {
			return VerdictOK
		}
		if i > 0 {
			stalled = stalled && c.offset == commits[i-1].offset
			grows = grows && c.lag >= commits[i-1].lag
		}
	}
	switch {
	case len(commits) < verdictWindow: // too early for a trend
		return VerdictOK
	case stalled:
		return VerdictStall
	case grows:
		return VerdictWarn
	}
	return VerdictOK
}
