package pack

import (
	"encoding/json"
	"reflect"
	"testing"
)

type inner struct {
	Name string
	N    int
}

type (
	values   struct{ All []inner }
	pointers struct{ All []*inner }
)

// TestListsOfPointers: a list of pointers to structs is written as a list of the structs, so that recordings of before and
// after a list became one of pointers are read either way.
func TestListsOfPointers(t *testing.T) {
	shapes := map[string]*Shape{}
	for name, of := range map[string]reflect.Type{"values": reflect.TypeFor[values](), "pointers": reflect.TypeFor[pointers]()} {
		s, err := ShapeOf(of)
		if err != nil {
			t.Fatal(err)
		}
		shapes[name] = s
	}
	a, _ := json.Marshal(shapes["values"])
	b, _ := json.Marshal(shapes["pointers"])
	if string(a) != string(b) {
		t.Fatalf("the shapes differ: %s and %s", a, b)
	}
	v := values{[]inner{{"a", 1}, {"b", -2}}}
	p := pointers{[]*inner{{"a", 1}, {"b", -2}}}
	fromV, fromP := Append(nil, shapes["values"], reflect.ValueOf(v)), Append(nil, shapes["pointers"], reflect.ValueOf(p))
	if string(fromV) != string(fromP) {
		t.Fatalf("%x and %x", fromV, fromP)
	}
	var r Reader
	var gotV values
	var gotP pointers
	if err := r.Read(fromP, shapes["pointers"], reflect.ValueOf(&gotV).Elem()); err != nil || !reflect.DeepEqual(gotV, v) {
		t.Errorf("%+v, %v", gotV, err)
	}
	if err := r.Read(fromV, shapes["values"], reflect.ValueOf(&gotP).Elem()); err != nil || !reflect.DeepEqual(gotP, p) {
		t.Errorf("%+v, %v", gotP, err)
	}
	empty := pointers{All: []*inner{nil}}
	if err := r.Read(Append(nil, shapes["values"], reflect.ValueOf(empty)), shapes["values"], reflect.ValueOf(&gotV).Elem()); err != nil || gotV.All[0] != (inner{}) {
		t.Errorf("a nil among them: %+v, %v", gotV, err)
	}
	if err := r.Read(fromP[:len(fromP)-1], shapes["values"], reflect.ValueOf(&gotP).Elem()); err == nil {
		t.Error("a value that is cut off was read")
	}
}
