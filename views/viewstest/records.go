package viewstest

import (
	"fmt"
	"math"
	"time"

	"weir/backend/pipeline"
	"weir/backend/safetext"
)

// Statuses of features, as Feast counts them.
const (
	present = 0 // PRESENT
	missing = 2 // NOT_FOUND
)

// looking is what a snapshot carries while somebody looks at records and dead letters: of each partition, of one bin,
// of one record that is inspected, and the dead-letter topic.
func (b builder) looking(p *pipeline.Snapshot) {
	for i := range p.Partitions {
		part := &p.Partitions[i]
		w := pipeline.WatchedRecords{Target: pipeline.WatchTarget{Partition: part.Partition, Bin: -1}, Since: b.at.Add(-20 * time.Second), Matched: 41_600}
		for k := range 12 {
			w.Records = append(w.Records, b.record(p, part.Partition, part.Offset-1-int64(k), k))
		}
		p.Watched = append(p.Watched, w)
	}
	bin := pipeline.WatchedRecords{Target: pipeline.WatchTarget{Partition: -1, Bin: 1}, Since: b.at.Add(-20 * time.Second), Matched: 9}
	for k := range 9 {
		r := b.record(p, int32(k%b.size.Partitions), int64(2_700_000+k*17), k+k/2) // of four the third is no prediction
		r.Prediction = 0.05 + 0.005*float64(k)
		bin.Records = append(bin.Records, r)
	}
	p.Watched = append(p.Watched, bin)
	for _, w := range p.Watched { // the first of each is looked at on demand too
		then := w.Records[0]
		now := then
		now.To, now.ToPartition, now.ToOffset, now.AcknowledgedAt, now.TakenAt = safetext.Text{}, -1, -1, time.Time{}, time.Time{}
		if now.Stage == "" {
			now.Prediction += 0.031
		}
		if len(then.Features) > 0 {
			now.Features = append([]pipeline.FeatureUsed(nil), then.Features...)
			now.Features[2].Value, now.Features[2].Status = b.text("0.31"), present
		}
		p.Inspected = append(p.Inspected, pipeline.Inspection{Partition: then.Partition, Offset: then.Offset, At: b.at, Then: &then, Now: &now})
	}
	b.letters(p)
	switch b.state {
	case Calm: // the last ones were long ago
		p.Letters.Letters, p.Letters.Total, p.Letters.Opened = p.Letters.Letters[34:], 6, nil
	case Waiting:
		p.Letters = &pipeline.LetterList{Error: b.text("connect to kafka at 127.0.0.1:9092: connection refused")}
	}
}

func (b builder) record(p *pipeline.Snapshot, partition int32, offset int64, k int) pipeline.Record {
	user := 8_800 + k*7
	r := pipeline.Record{Topic: p.Events, Partition: partition, Offset: offset, Key: b.text(fmt.Sprint(user)), Entity: b.text(fmt.Sprint(user)), Size: 151,
		Value: b.text(fmt.Sprintf(`{"user_id":%d,"type":"click","timestamp":"2026-11-22T07:32:06.612Z","email":"•••","amount":12.5}`, user)),
		Fields: []pipeline.Field{{Name: b.text("user_id"), Value: b.text(fmt.Sprint(user))}, {Name: b.text("type"), Value: b.text(`"click"`)},
			{Name: b.text("timestamp"), Value: b.text(`"2026-11-22T07:32:06.612Z"`)}, {Name: b.text("email"), Value: safetext.Clean("•••"), Masked: true}, {Name: b.text("amount"), Value: b.text("12.5")}},
		Headers: []pipeline.LetterHeader{{Key: b.text("trace"), Value: b.text("4bf92f3577b34da6")}},
		Model:   p.Model.Version, Prediction: math.Mod(0.137*float64(k+1), 1), To: p.Predictions, ToPartition: partition, ToOffset: offset + 11,
		JudgedBy: []safetext.Text{b.text("commerce/user_events")},
		EventAt:  b.at.Add(-time.Duration(395+k) * time.Millisecond), WrittenAt: b.at.Add(-time.Duration(393+k) * time.Millisecond),
		TakenAt: b.at.Add(-time.Duration(388+k) * time.Millisecond), AcknowledgedAt: b.at.Add(-time.Duration(384+k) * time.Millisecond)}
	for i, name := range p.Model.Features {
		r.Features = append(r.Features, pipeline.FeatureUsed{Name: name, Value: b.text([]string{"34", "Lisbon, encoded as 3", "0.27", "12"}[i%4]), Cached: true, Age: 12 * time.Second})
	}
	if !b.bad() {
		return r
	}
	switch k % 4 {
	case 0: // breaks a rule
		r.Fields[3].Value, r.Fields[3].Masked = safetext.Clean("null"), false
		r.Broken = []pipeline.BrokenRule{{Product: b.text("commerce/user_events"), Rule: b.text("max_null_percentage"), Column: b.text("email"), What: b.text("null"), Tolerated: b.text("≤ 5%"), Severity: "error"},
			{Product: b.text("commerce/user_events"), Rule: b.text("undeclared"), Column: b.text("amount"), What: b.text("not in the contract"), Severity: "warning"}}
	case 2: // a feature is missing
		r.Stage, r.Reason, r.To, r.Prediction, r.Model = "features", b.text("user_behavior:click_rate_24h is NOT_FOUND"), p.DeadLetters, math.NaN(), safetext.Text{}
		r.Features[2].Status, r.Features[2].Value = missing, safetext.Text{}
	}
	return r
}

func (b builder) letters(p *pipeline.Snapshot) {
	list := &pipeline.LetterList{At: b.at, Total: 1_204}
	reasons := []string{"not JSON at byte 0", "user_behavior:click_rate_24h is NOT_FOUND", "no user_id", "the model cannot score these features"}
	for k := range 40 {
		stage := k % 4
		l := pipeline.LetterRow{ID: pipeline.LetterID{Partition: int32(k % 3), Offset: int64(4_100 - k)}, Replays: 0,
			DeadLetter: pipeline.DeadLetter{At: b.at.Add(-time.Duration(k*k) * time.Second), Stage: []string{"decode", "features", "entity", "score"}[stage], Reason: b.text(reasons[stage]),
				Topic: p.Events, Partition: int32(k % b.size.Partitions), Offset: int64(99_120 + k*311), Size: 150 + k,
				Sample: b.text(`{"user_id":8807,"type":"click","timestamp":"2026-11-22T07:31:58Z","email":"•••"}`)}}
		if stage != 0 && stage != 2 {
			l.Entity = b.text("8807")
		}
		switch k % 7 {
		case 3:
			l.Again, l.Replayed = true, b.at.Add(-40*time.Second)
		case 5:
			l.Again = true
		case 6:
			l.Replays, l.ReplayOf = 1, pipeline.LetterID{Partition: 1, Offset: 3_811}
		}
		list.Letters = append(list.Letters, l)
	}
	for _, k := range []int{0, 1} {
		l := list.Letters[k]
		o := pipeline.OpenLetter{Letter: pipeline.Letter{ID: l.ID, DeadLetter: l.DeadLetter, Key: b.text("8807"), Value: l.Sample,
			Headers: []pipeline.LetterHeader{{Key: b.text("trace"), Value: b.text("4bf92f3577b34da6")}, {Key: b.text("weir.stage"), Value: b.text(l.Stage)},
				{Key: b.text("weir.reason"), Value: b.text(l.Reason.String())}, {Key: b.text("weir.partition"), Value: b.text("0")}, {Key: b.text("weir.offset"), Value: b.text("99120")}}},
			ReadAt: b.at, JudgedBy: []safetext.Text{b.text("commerce/user_events")}}
		if k == 0 {
			o.FeaturesError = b.text("its bytes name no entity: not JSON at byte 0")
			o.Broken = []pipeline.BrokenRule{{Product: b.text("commerce/user_events"), Rule: b.text("undecodable"), What: b.text("expected a JSON object at byte 0"), Severity: "warning"}}
		} else {
			o.Fields = b.record(p, 0, 0, 1).Fields
			for i, name := range p.Model.Features {
				o.Features = append(o.Features, pipeline.LetterFeature{Name: name, Value: b.text([]string{"34", "Lisbon", "", "12"}[i%4])})
			}
			o.Features[2].Status = missing
		}
		list.Opened = append(list.Opened, o)
	}
	p.Letters = list
}
