package workflow

import (
	"reflect"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

func TestAValueOfARowIsWhatWasWrapped(t *testing.T) {
	t.Parallel()
	noon := time.Date(2026, 5, 6, 12, 0, 0, 7, time.UTC)
	for _, c := range []struct {
		message proto.Message
		want    any
	}{
		{wrapperspb.Bool(true), true},
		{wrapperspb.Int32(-7), int64(-7)},
		{wrapperspb.Int64(-1 << 63), int64(-1 << 63)},
		{wrapperspb.UInt32(1<<32 - 1), int64(1<<32 - 1)},
		{wrapperspb.UInt64(1<<64 - 1), uint64(1<<64 - 1)},
		{wrapperspb.Float(0.5), 0.5},
		{wrapperspb.Double(1e300), 1e300},
		{wrapperspb.String("Mars"), "Mars"},
		{wrapperspb.Bytes([]byte{0, 255}), []byte{0, 255}},
		{timestamppb.New(noon), noon},
	} {
		name := string(c.message.ProtoReflect().Descriptor().FullName())
		text, err := proto.Marshal(c.message)
		if err != nil {
			t.Fatal(err)
		}
		if got := value("type.googleapis.com/"+name, text); !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s is %#v, want %#v", name, got, c.want)
		}
		broken := []byte{0xff}
		if got := value("type.googleapis.com/"+name, broken); !reflect.DeepEqual(got, broken) {
			t.Errorf("a broken %s is %#v, want its bytes", name, got)
		}
	}
	if got := value("type.googleapis.com/proto.Row.Null", nil); got != nil {
		t.Errorf("null is %#v", got)
	}
	text, err := proto.Marshal(durationpb.New(time.Second))
	if err != nil {
		t.Fatal(err)
	}
	if got := value("type.googleapis.com/google.protobuf.Duration", text); !reflect.DeepEqual(got, text) {
		t.Errorf("what is of no known type is %#v, want its bytes", got)
	}
}
