package demo

import (
	"math"
	"math/rand/v2"
	"strconv"
)

// The people of the world. Their habits do not depend on Options.Seed: the embedded model was trained on exactly these
// users, and other users would be drift. The seed says who comes when, and what they do.
const (
	userCount      = 10_000
	populationSeed = 0x5765_6972 // "Weir"
	// Users come by a Zipf-Mandelbrot law: the one of rank k as often as 1/(k+zipfShift)^zipfExponent. The busiest sends
	// 0.25 % of the events, the busiest hundred a sixth: skewed, but no partition owns the stream.
	zipfExponent = 1.07
	zipfShift    = 100.0
)

// user is one person; profile is what the feature store knows.
type user struct {
	id     string // u-00000 … u-09999
	key    []byte // id
	email  string
	device string
	profile
}

// profile holds a user's features.
type profile struct {
	age       int     // years, 18…84
	location  int     // region code, 1…regions
	clickRate float64 // click_rate_24h: clicks per page seen, 0…1, three decimals
	purchases int     // purchase_history_30d: purchases of the last 30 days
	missing   string  // the feature the store holds no value of, or empty
}

const regions = 12

var (
	firstNames = [...]string{"ada", "amir", "bea", "chen", "dora", "emil", "femi", "gita", "hugo", "ines", "jun", "kaya", "lars", "mina", "noor", "olga", "pia", "quin", "rosa", "sven", "tova", "uma", "vito", "wen", "xavi", "yara", "zeno"}
	lastNames  = [...]string{"abara", "berg", "costa", "dahl", "evans", "fuchs", "gupta", "haas", "ito", "jansen", "kim", "lopez", "moreau", "novak", "okoye", "park", "quist", "rossi", "silva", "tanaka", "ueda", "vogel", "weber", "xu", "yilmaz", "zhou"}
	mailHosts  = [...]string{"example.com", "example.org", "example.net"}
)

// population makes all users, by rank: the first comes most often.
func population() []user {
	users := make([]user, userCount)
	for rank := range users {
		users[rank] = makeUser(rank)
	}
	return users
}

func makeUser(rank int) user {
	r := rand.New(rand.NewPCG(populationSeed, uint64(rank)))
	number := (rank*7919 + 13) % userCount // a permutation: the number does not tell the rank
	u := user{
		id: userID(number),
		email: firstNames[r.IntN(len(firstNames))] + "." + lastNames[r.IntN(len(lastNames))] +
			strconv.Itoa(r.IntN(100)) + "@" + mailHosts[r.IntN(len(mailHosts))],
		device: pick(r, devices[:], deviceShares[:]),
	}
	u.key = []byte(u.id)
	u.profile = makeProfile(r)
	// A few of the rarer users have a hole in their profile: some 0.03 % of the events.
	if rank > userCount/2 && rank%1009 == 0 {
		u.missing = featureNames[rank%len(featureNames)]
	}
	return u
}

// makeProfile draws a person: how engaged they are decides clicks and purchases together; the young click a little more.
func makeProfile(r *rand.Rand) profile {
	engaged := r.NormFloat64()
	age := clamp(38+13*r.NormFloat64(), 18, 84)
	click := 1 / (1 + math.Exp(-(-1.6 + 0.9*engaged - 0.012*(age-38) + 0.5*r.NormFloat64())))
	buys := poisson(r, clamp(math.Exp(0.9+0.75*engaged+0.35*r.NormFloat64()), 0, 40))
	return profile{
		age:       int(age),
		location:  1 + r.IntN(regions),
		clickRate: math.Round(click*1000) / 1000,
		purchases: buys,
	}
}

func userID(number int) string {
	digits := strconv.Itoa(number)
	return "u-" + "00000"[:max(0, 5-len(digits))] + digits
}

// weights are the shares of the event stream by rank; they add up to 1.
func weights() []float64 {
	w := make([]float64, userCount)
	sum := 0.0
	for k := range w {
		w[k] = math.Pow(float64(k)+zipfShift, -zipfExponent)
		sum += w[k]
	}
	for k := range w {
		w[k] /= sum
	}
	return w
}

// alias draws an index by its weight with one random number (Walker's alias method, as Vose builds it).
type alias struct {
	keep  []float64
	other []int32
}

func newAlias(weights []float64) alias {
	n := len(weights)
	a := alias{make([]float64, n), make([]int32, n)}
	var small, large []int32
	for i, w := range weights {
		a.keep[i] = w * float64(n)
		if a.keep[i] < 1 {
			small = append(small, int32(i))
		} else {
			large = append(large, int32(i))
		}
	}
	for len(small) > 0 && len(large) > 0 {
		s, l := small[len(small)-1], large[len(large)-1]
		small = small[:len(small)-1]
		a.other[s] = l
		if a.keep[l] -= 1 - a.keep[s]; a.keep[l] < 1 {
			large = large[:len(large)-1]
			small = append(small, l)
		}
	}
	for _, i := range append(small, large...) { // what rounding left over
		a.keep[i] = 1
	}
	return a
}

func (a alias) draw(r *rand.Rand) int {
	i := r.IntN(len(a.keep))
	if r.Float64() < a.keep[i] {
		return i
	}
	return int(a.other[i])
}

// pick draws one of values by shares, which add up to 1.
func pick[T any](r *rand.Rand, values []T, shares []float64) T {
	x := r.Float64()
	for i, s := range shares {
		if x < s {
			return values[i]
		}
		x -= s
	}
	return values[len(values)-1]
}

// poisson draws a count of the given mean (Knuth's method; the means here are small).
func poisson(r *rand.Rand, mean float64) int {
	limit, product, n := math.Exp(-mean), r.Float64(), 0
	for product > limit {
		product *= r.Float64()
		n++
	}
	return n
}

func clamp(x, low, high float64) float64 { return min(max(x, low), high) }
