package workflow

import (
	"fmt"
	"strings"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/prototext"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/dynamicpb"
	"google.golang.org/protobuf/types/known/timestamppb"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

// responseFile describes what a step of SQLFlow prints, a protobuf text a line: the
// message Response of SQLFlow's protocol (go/proto/sqlflow.proto), as far as a step
// prints it. The values of a row are google.protobuf.Any, whose two fields stand here.
const responseFile = `
name: "response.proto" syntax: "proto3"
message_type {
  name: "Response"
  field { name: "head" number: 1 label: LABEL_OPTIONAL type: TYPE_MESSAGE type_name: ".Head" }
  field { name: "row" number: 2 label: LABEL_OPTIONAL type: TYPE_MESSAGE type_name: ".Row" }
  field { name: "message" number: 3 label: LABEL_OPTIONAL type: TYPE_MESSAGE type_name: ".Message" }
}
message_type { name: "Head" field { name: "column_names" number: 1 label: LABEL_REPEATED type: TYPE_STRING } }
message_type { name: "Row" field { name: "data" number: 1 label: LABEL_REPEATED type: TYPE_MESSAGE type_name: ".Any" } }
message_type { name: "Message" field { name: "message" number: 1 label: LABEL_OPTIONAL type: TYPE_STRING } }
message_type {
  name: "Any"
  field { name: "type_url" number: 1 label: LABEL_OPTIONAL type: TYPE_STRING }
  field { name: "value" number: 2 label: LABEL_OPTIONAL type: TYPE_BYTES }
}`

// responseReader reads a step's lines.
type responseReader struct {
	response protoreflect.MessageDescriptor
}

func newResponseReader() (responseReader, error) {
	var file descriptorpb.FileDescriptorProto
	if err := prototext.Unmarshal([]byte(responseFile), &file); err != nil {
		return responseReader{}, fmt.Errorf("the description of SQLFlow's responses: %w", err)
	}
	described, err := protodesc.NewFile(&file, nil)
	if err != nil {
		return responseReader{}, fmt.Errorf("the description of SQLFlow's responses: %w", err)
	}
	return responseReader{described.Messages().ByName("Response")}, nil
}

// read reads a line; ok is false when it is some other output. A message is always what
// went wrong.
func (r responseReader) read(line string) (response Response, isMessage, ok bool) {
	m := dynamicpb.NewMessage(r.response)
	if !utf8.ValidString(line) || prototext.Unmarshal([]byte(line), m) != nil {
		return Response{}, false, false
	}
	fields := r.response.Fields()
	head, row, message := fields.ByName("head"), fields.ByName("row"), fields.ByName("message")
	switch {
	case m.Has(message):
		text := m.Get(message).Message()
		return Response{Message: text.Get(message.Message().Fields().ByName("message")).String()}, true, true
	case m.Has(head):
		names := m.Get(head).Message().Get(head.Message().Fields().ByName("column_names")).List()
		response.Head = make([]string, 0, names.Len())
		for i := range names.Len() {
			response.Head = append(response.Head, names.Get(i).String())
		}
		return response, false, true
	case m.Has(row):
		values := m.Get(row).Message().Get(row.Message().Fields().ByName("data")).List()
		response.Row = make([]any, 0, values.Len())
		for i := range values.Len() {
			one := values.Get(i).Message()
			described := one.Descriptor().Fields()
			response.Row = append(response.Row, value(
				one.Get(described.ByName("type_url")).String(), one.Get(described.ByName("value")).Bytes()))
		}
		return response, false, true
	}
	return Response{}, false, false
}

// value unwraps a value of a row (SQLFlow, go/proto/response.go). What is of no known type
// is given as its bytes.
func value(typeURL string, text []byte) any {
	switch name := typeURL[strings.LastIndexByte(typeURL, '/')+1:]; name {
	case "proto.Row.Null":
		return nil
	case "google.protobuf.BoolValue":
		return unwrap(text, &wrapperspb.BoolValue{}, (*wrapperspb.BoolValue).GetValue)
	case "google.protobuf.Int32Value":
		return unwrap(text, &wrapperspb.Int32Value{}, func(v *wrapperspb.Int32Value) int64 { return int64(v.Value) })
	case "google.protobuf.Int64Value":
		return unwrap(text, &wrapperspb.Int64Value{}, (*wrapperspb.Int64Value).GetValue)
	case "google.protobuf.UInt32Value":
		return unwrap(text, &wrapperspb.UInt32Value{}, func(v *wrapperspb.UInt32Value) int64 { return int64(v.Value) })
	case "google.protobuf.UInt64Value":
		return unwrap(text, &wrapperspb.UInt64Value{}, (*wrapperspb.UInt64Value).GetValue)
	case "google.protobuf.FloatValue":
		return unwrap(text, &wrapperspb.FloatValue{}, func(v *wrapperspb.FloatValue) float64 { return float64(v.Value) })
	case "google.protobuf.DoubleValue":
		return unwrap(text, &wrapperspb.DoubleValue{}, (*wrapperspb.DoubleValue).GetValue)
	case "google.protobuf.StringValue":
		return unwrap(text, &wrapperspb.StringValue{}, (*wrapperspb.StringValue).GetValue)
	case "google.protobuf.BytesValue":
		return unwrap(text, &wrapperspb.BytesValue{}, (*wrapperspb.BytesValue).GetValue)
	case "google.protobuf.Timestamp":
		return unwrap(text, &timestamppb.Timestamp{}, (*timestamppb.Timestamp).AsTime)
	}
	return text
}

// unwrap reads a message and gives what is in it, or the text that is no such message.
func unwrap[M proto.Message, V any](text []byte, m M, get func(M) V) any {
	if proto.Unmarshal(text, m) != nil {
		return text
	}
	return get(m)
}
