package demo

import (
	"encoding/binary"
	"encoding/hex"
	"math"
	"math/rand/v2"
	"strconv"
	"time"
)

// The topics of the world.
const (
	topicEvents      = "user_events"
	topicPredictions = "predictions"
	topicDeadLetters = "user_events.dead_letters"
	topicOrders      = "orders"
	topicPayments    = "payments"
	topicSessions    = "sessions"
	topicInventory   = "inventory"
)

var (
	eventTypes  = [...]string{"page_view", "search", "add_to_cart", "remove_from_cart", "checkout", "login", "purchase"}
	eventShares = [...]float64{0.60, 0.17, 0.12, 0.03, 0.04, 0.03, 0.01}

	devices      = [...]string{"mobile", "desktop", "tablet"}
	deviceShares = [...]float64{0.6, 0.32, 0.08}

	shelves = [...]string{"/shop/lamps/", "/shop/chairs/", "/shop/rugs/", "/shop/desks/", "/shop/plants/"}

	referrers  = [...]string{"search", "newsletter", "social", "direct", "partner"}
	methods    = [...]string{"card", "transfer", "wallet", "invoice"}
	warehouses = [...]string{"ams-1", "lis-1", "osl-1"}
)

// The small steady shares of the calm world.
const (
	nullEmail    = 0.02
	nullAmount   = 0.01
	nullReferrer = 0.03
	newUser      = 0.0002 // events of somebody the feature store does not know yet
	newSession   = 1.0 / 25
)

// record is one message of the world: whose topic, its key, its value. The slices live until the next call.
type record struct {
	topic     string
	key       []byte
	value     []byte
	partition int32 // -1: by key
}

// eventFaults is what the faults do to the events at this moment.
type eventFaults struct {
	poison bool // some records are garbage
	nulls  bool // e-mails go missing
	schema bool // a release renames session_id and writes amounts as text
	hot    bool // most events go to one partition
}

// Shares while a fault is on.
const (
	poisonShare  = 0.03
	nullSpike    = 0.20
	hotShare     = 0.70
	hotPartition = 3
)

const (
	itemCount     = 400 // things the shop sells
	maxItemsOrder = 5
)

// generator makes the event stream. Its bytes depend on the seed and on the times it is given, nothing else: the faults
// draw from a stream of their own, so the events they leave alone are those of the calm world.
type generator struct {
	random   *rand.Rand
	faults   *rand.Rand
	users    []user
	who      alias
	sessions []uint32 // by rank: the number of the user's current session
	seed     uint64
	orders   int
	arrivals int // users nobody knew
	stamp    []byte
	scratch  []byte // the values of the current call
	out      []record
}

func newGenerator(seed uint64, users []user) *generator {
	return &generator{
		random:   rand.New(rand.NewPCG(seed, 1)),
		faults:   rand.New(rand.NewPCG(seed, 2)),
		users:    users,
		who:      newAlias(weights()),
		sessions: make([]uint32, len(users)),
		seed:     seed,
	}
}

// stampLayout is RFC 3339 with milliseconds; the times it formats are UTC.
const stampLayout = "2006-01-02T15:04:05.000Z"

// event is one user event before it is written.
type event struct {
	user      user
	session   [8]byte // hexadecimal
	kind      string
	page      string
	pageItem  int     // 0: the page has no item
	amount    float64 // EUR
	noEmail   bool
	noAmount  bool
	partition int32
}

// next makes n user events, and the orders, payments, sessions and stock levels that follow from them, all of one moment.
// What it returns is the generator's until the next call.
func (g *generator) next(n int, at time.Time, f eventFaults) []record {
	g.stamp = at.UTC().AppendFormat(g.stamp[:0], stampLayout)
	g.scratch, g.out = make([]byte, 0, n*260+1024), g.out[:0]
	for range n {
		g.one(f)
	}
	return g.out
}

func (g *generator) one(f eventFaults) {
	r := g.random
	rank := g.who.draw(r)
	e := event{user: g.users[rank], partition: -1}
	if r.Float64() < newUser {
		g.arrivals++
		e.user.id = "u-new-" + strconv.Itoa(g.arrivals)
		e.user.key = []byte(e.user.id)
	}
	started := r.Float64() < newSession
	if started {
		g.sessions[rank]++
	}
	e.session = g.session(rank)
	e.kind = pick(r, eventTypes[:], eventShares[:])
	e.page, e.pageItem = page(r, e.kind)
	e.amount = price(r)
	nulls := r.Float64()
	e.noEmail = nulls < nullEmail
	e.noAmount = nulls > 1-nullAmount && e.kind != "purchase"

	if f.nulls && g.faults.Float64() < nullSpike {
		e.noEmail = true
	}
	if f.hot && g.faults.Float64() < hotShare {
		e.partition = hotPartition
	}
	switch {
	case f.poison && g.faults.Float64() < poisonShare:
		g.emit(topicEvents, e.user.key, e.partition, g.garbage(&e))
	case f.schema:
		g.emit(topicEvents, e.user.key, e.partition, g.appendRenamed(&e))
	default:
		g.emit(topicEvents, e.user.key, e.partition, g.appendEvent(&e))
	}
	if started {
		g.emit(topicSessions, e.user.key, -1, g.appendSession(&e))
	}
	if e.kind == "purchase" {
		g.purchase(&e)
	}
}

// purchase writes what an order moves: the order, its payment, the stock of what was bought.
func (g *generator) purchase(e *event) {
	r := g.random
	g.orders++
	items := 1 + r.IntN(maxItemsOrder)
	id := appendPadded([]byte("o-"), g.orders, 8)
	g.emit(topicOrders, id, -1, g.appendOrder(e, id, items))
	g.emit(topicPayments, id, -1, g.appendPayment(e, id))
	sku := appendPadded([]byte("sku-"), 1+r.IntN(itemCount), 4)
	g.emit(topicInventory, sku, -1, g.appendStock(sku, items))
}

// emit ends the value that began at the given offset of scratch.
func (g *generator) emit(topic string, key []byte, partition int32, from int) {
	g.out = append(g.out, record{topic, key, g.scratch[from:len(g.scratch):len(g.scratch)], partition})
}

func (g *generator) appendEvent(e *event) int {
	from := len(g.scratch)
	b := append(g.scratch, `{"user_id":"`...)
	b = append(b, e.user.id...)
	b = append(b, `","event_type":"`...)
	b = append(b, e.kind...)
	b = append(b, `","timestamp":"`...)
	b = append(b, g.stamp...)
	b = append(b, `","email":`...)
	if e.noEmail {
		b = append(b, `null`...)
	} else {
		b = append(append(append(b, '"'), e.user.email...), '"')
	}
	b = append(b, `,"amount":`...)
	if e.noAmount {
		b = append(b, `null`...)
	} else {
		b = strconv.AppendFloat(b, e.amount, 'f', 2, 64)
	}
	b = append(b, `,"session_id":"s-`...)
	b = append(b, e.session[:]...)
	b = g.appendWhere(b, e)
	g.scratch = append(b, '}')
	return from
}

// appendRenamed writes the event as the release of fault schema-break does.
func (g *generator) appendRenamed(e *event) int {
	from := len(g.scratch)
	b := append(g.scratch, `{"user_id":"`...)
	b = append(b, e.user.id...)
	b = append(b, `","event_type":"`...)
	b = append(b, e.kind...)
	b = append(b, `","timestamp":"`...)
	b = append(b, g.stamp...)
	b = append(b, `","email":"`...)
	b = append(b, e.user.email...)
	b = append(b, `","amount":"`...)
	b = strconv.AppendFloat(b, e.amount, 'f', 2, 64)
	b = append(b, ` EUR","sessionId":"s-`...)
	b = append(b, e.session[:]...)
	b = g.appendWhere(b, e)
	g.scratch = append(b, '}')
	return from
}

func (g *generator) appendWhere(b []byte, e *event) []byte {
	b = append(b, `","page":"`...)
	b = append(b, e.page...)
	if e.pageItem > 0 {
		b = appendPadded(b, e.pageItem, 4)
	}
	b = append(b, `","device":"`...)
	b = append(b, e.user.device...)
	return append(b, '"')
}

func (g *generator) appendSession(e *event) int {
	r, from := g.random, len(g.scratch)
	b := append(g.scratch, `{"session_id":"s-`...)
	b = append(b, e.session[:]...)
	b = g.appendWho(b, e)
	b = append(b, `,"device":"`...)
	b = append(b, e.user.device...)
	referrer := referrers[r.IntN(len(referrers))]
	if r.Float64() < nullReferrer {
		b = append(b, `","referrer":null,"region":`...)
	} else {
		b = append(append(append(b, `","referrer":"`...), referrer...), `","region":`...)
	}
	b = strconv.AppendInt(b, int64(e.user.location), 10)
	g.scratch = append(b, '}')
	return from
}

func (g *generator) appendOrder(e *event, id []byte, items int) int {
	from := len(g.scratch)
	b := append(append(g.scratch, `{"order_id":"`...), id...)
	b = g.appendWho(b, e)
	b = append(b, `,"session_id":"s-`...)
	b = append(b, e.session[:]...)
	b = append(b, `","items":`...)
	b = strconv.AppendInt(b, int64(items), 10)
	b = append(b, `,"total":`...)
	b = strconv.AppendFloat(b, e.amount, 'f', 2, 64)
	g.scratch = append(b, `,"currency":"EUR","status":"placed"}`...)
	return from
}

func (g *generator) appendPayment(e *event, order []byte) int {
	r, from := g.random, len(g.scratch)
	b := append(append(g.scratch, `{"payment_id":"p-`...), order[2:]...)
	b = append(append(b, `","order_id":"`...), order...)
	b = g.appendWho(b, e)
	b = append(b, `,"amount":`...)
	b = strconv.AppendFloat(b, e.amount, 'f', 2, 64)
	b = append(b, `,"currency":"EUR","method":"`...)
	b = append(b, methods[r.IntN(len(methods))]...)
	b = append(b, `","card_last4":"`...)
	b = appendPadded(b, r.IntN(10000), 4)
	g.scratch = append(b, `","status":"captured"}`...)
	return from
}

func (g *generator) appendStock(sku []byte, sold int) int {
	r, from := g.random, len(g.scratch)
	b := append(append(g.scratch, `{"sku":"`...), sku...)
	b = append(b, `","warehouse":"`...)
	b = append(b, warehouses[r.IntN(len(warehouses))]...)
	b = append(append(append(b, `","timestamp":"`...), g.stamp...), `","on_hand":`...)
	b = strconv.AppendInt(b, int64(40+r.IntN(400)), 10)
	b = append(b, `,"reserved":`...)
	b = strconv.AppendInt(b, int64(sold), 10)
	g.scratch = append(b, '}')
	return from
}

// appendWho ends the text an object stands in, and goes on with who and when.
func (g *generator) appendWho(b []byte, e *event) []byte {
	b = append(append(b, `","user_id":"`...), e.user.id...)
	b = append(append(b, `","timestamp":"`...), g.stamp...)
	return append(b, '"')
}

// garbage writes a record as it should never come: cut short, not JSON, of the wrong shape, without its user, of the
// wrong types, or made to attack the terminal of whoever looks at it.
func (g *generator) garbage(e *event) int {
	from := len(g.scratch)
	switch g.faults.IntN(6) {
	case 0:
		g.appendEvent(e)
		g.scratch = g.scratch[:from+(len(g.scratch)-from)/2]
	case 1:
		g.scratch = append(g.scratch, "\x00\x01\xfe\xff\x9d not an event \xc3\x28"...)
	case 2:
		g.scratch = append(g.scratch, `["user_id","event_type"]`...)
	case 3:
		g.scratch = append(append(append(g.scratch, `{"event_type":"page_view","timestamp":"`...), g.stamp...), `"}`...)
	case 4:
		g.scratch = append(g.scratch, `{"user_id":{"id":7},"event_type":3,"timestamp":"yesterday"}`...)
	default:
		g.scratch = append(g.scratch, "\x1b]0;owned\x07\x1b[2J\x1b[31m{\"user_id\":\"\u202eu-00001"...)
	}
	return from
}

// session is the name of the user's current session, eight hexadecimal digits.
func (g *generator) session(rank int) (name [8]byte) {
	var sum [4]byte
	binary.BigEndian.PutUint32(sum[:], uint32(mix(g.seed^uint64(rank)<<32^uint64(g.sessions[rank]))))
	hex.Encode(name[:], sum[:])
	return name
}

// page is where an event of a kind happens: the shelf and the item, or a page without items.
func page(r *rand.Rand, kind string) (string, int) {
	shelf, item := shelves[r.IntN(len(shelves))], r.IntN(itemCount*5/4)
	switch {
	case kind == "search":
		return "/search", 0
	case kind == "login":
		return "/account", 0
	case kind == "checkout" || kind == "purchase" || kind == "remove_from_cart":
		return "/cart", 0
	case item >= itemCount && kind == "page_view":
		return "/", 0
	}
	return shelf, 1 + item%itemCount
}

// price draws an amount between about 4 and 400, mostly near 35, in cents.
func price(r *rand.Rand) float64 {
	return math.Round(clamp(math.Exp(3.55+0.75*r.NormFloat64()), 3.5, 420)*100) / 100
}

// mix scatters the bits of x (the finalizer of SplitMix64).
func mix(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// appendPadded appends n in at least width digits.
func appendPadded(b []byte, n, width int) []byte {
	digits := 1
	for m := n; m >= 10; m /= 10 {
		digits++
	}
	for ; digits < width; digits++ {
		b = append(b, '0')
	}
	return strconv.AppendInt(b, int64(n), 10)
}
