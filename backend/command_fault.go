package backend

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"weir/backend/timeline"
)

// faultOrder is what the words after :fault ask for.
type faultOrder struct {
	name    string
	clear   bool
	lasting time.Duration // 0: until it is cleared
}

// parseFault reads NAME [DURATION] or clear NAME, and knows which faults there are and which are in force.
func parseFault(f Faults, args []string) (faultOrder, error) {
	switch {
	case len(args) == 0:
		return faultOrder{}, fmt.Errorf("expected a fault's name, one of %s", strings.Join(f.FaultNames(), ", "))
	case args[0] == "clear" && len(args) == 2:
		o := faultOrder{name: args[1], clear: true}
		if err := f.Known(o.name); err != nil {
			return o, err
		}
		if !slices.ContainsFunc(f.InForce(), func(x timeline.Fault) bool { return x.Name == o.name }) {
			return o, fmt.Errorf("fault %s is not in force, so there is nothing to clear", o.name)
		}
		return o, nil
	case args[0] == "clear":
		return faultOrder{}, errors.New("expected a fault's name after clear, such as: fault clear null-spike")
	case len(args) > 2:
		return faultOrder{}, fmt.Errorf("expected NAME [DURATION] or clear NAME, found %d words", len(args))
	}
	o := faultOrder{name: args[0]}
	if err := f.Known(o.name); err != nil {
		return o, err
	}
	if len(args) == 2 {
		lasting, err := time.ParseDuration(args[1])
		if err != nil || lasting <= 0 {
			return o, fmt.Errorf("expected a duration such as 30s after %s, found %q", args[0], args[1])
		}
		o.lasting = lasting
	}
	return o, nil
}

func doFault(f Faults, args []string) (string, error) {
	o, err := parseFault(f, args)
	if err != nil {
		return "", err
	}
	if o.clear {
		return o.name + " is over", f.Clear(o.name)
	}
	if err := f.Inject(o.name, 0, o.lasting); err != nil {
		return "", err
	}
	if o.lasting > 0 {
		return fmt.Sprintf("%s for %s", o.name, o.lasting), nil
	}
	return fmt.Sprintf("%s until :fault clear %s", o.name, o.name), nil
}

func completeFault(f Faults) func(string) []string {
	return func(prefix string) []string { return among(append(f.FaultNames(), "clear")...)(prefix) }
}
