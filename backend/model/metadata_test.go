package model

import (
	"slices"
	"strings"
	"testing"
)

func TestMetadata(t *testing.T) {
	file := sumFile(map[string]string{
		VersionKey:          " v2.2 ",
		BaselineKey:         "300" + strings.Repeat(",5", 19),
		FeatureBaselinesKey: `[{"name":"age","edges":[30,60.5],"counts":[1,0,2,3,4]},{"name":"place","texts":["Bern","Genf"],"counts":[0,5,6,7,0]}]`,
	})
	m, err := LoadONNX(file.write(t))
	if err != nil {
		t.Fatal(err)
	}
	d := m.Describe()
	if d.Version != "v2.2" || d.BaselineSize != 395 || len(d.Fingerprint) != 64 || d.Revision != d.Fingerprint[:8] {
		t.Errorf("version %q, baseline of %d, revision %q of %q", d.Version, d.BaselineSize, d.Revision, d.Fingerprint)
	}
	if h := d.HistogramOf("user_profile:age"); h == nil || !slices.Equal(h.Counts, []uint64{1, 0, 2, 3, 4}) {
		t.Errorf("histogram of the age %+v", h)
	}
	if h := d.HistogramOf("user_profile:height"); h != nil {
		t.Errorf("histogram of what is not there %+v", h)
	}
	file.metadata = map[string]string{BaselineKey: "0.9" + strings.Repeat(",0.005", 19)}
	if m, err = LoadONNX(file.write(t)); err != nil || m.Describe().BaselineSize != 0 {
		t.Errorf("shares tell no size: %d, error %v", m.Describe().BaselineSize, err)
	}
	for key, bad := range map[string][]string{
		VersionKey: {strings.Repeat("v", 1000)},
		FeatureBaselinesKey: {
			`{`, `[{"name":"a","counts":[1]}]`, `[{"name":"a","edges":[2,1],"counts":[1,1,1,1,1]}]`, `[{"name":"a","counts":[0,0,0]}]`,
			`[{"name":"a","counts":[1,-1,0]}]`, `[{"name":"a","counts":[1,0,18446744073709551615]}]`,
		},
	} {
		for _, text := range bad {
			file.metadata = map[string]string{key: text}
			if _, err := LoadONNX(file.write(t)); err == nil || !strings.Contains(err.Error(), key) {
				t.Errorf("%s %.60s: error %v", key, text, err)
			}
		}
	}
}
