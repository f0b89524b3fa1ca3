// Encodes objects with Kubernetes' own code, to check ours against: JSON lines in, one line each out.
//
// Built against Debian's golang-k8s-client-go-dev and golang-k8s-apiextensions-apiserver-dev:
//
//	GOPATH=/usr/share/gocode GO111MODULE=off go run tools/protobuf_vectors.go
//
// A line is apiVersion, kind and the bytes in hex, or what their SHA-256 is where they are many.
package main

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"log"
	"os"

	apiextensions "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer/protobuf"
	"k8s.io/client-go/kubernetes/scheme"
)

const shortBytes = 400

func main() {
	types := scheme.Scheme
	if err := apiextensions.AddToScheme(types); err != nil {
		log.Fatal(err)
	}
	encoder := protobuf.NewSerializer(types, types)
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(nil, 16<<20)
	for lines.Scan() {
		var sent metav1.TypeMeta
		if err := json.Unmarshal(lines.Bytes(), &sent); err != nil {
			log.Fatal(err)
		}
		kind := schema.FromAPIVersionAndKind(sent.APIVersion, sent.Kind)
		object, err := types.New(kind)
		if err != nil {
			// What neither package has, such as kube-aggregator's.
			continue
		}
		var encoded bytes.Buffer
		if err := encode(encoder, lines.Bytes(), object, kind, &encoded); err != nil {
			log.Fatal(err)
		}
		shown := fmt.Sprintf("%x", encoded.Bytes())
		if encoded.Len() > shortBytes {
			shown = fmt.Sprintf("sha256:%x", sha256.Sum256(encoded.Bytes()))
		}
		fmt.Println(sent.APIVersion, sent.Kind, shown)
	}
	if err := lines.Err(); err != nil {
		log.Fatal(err)
	}
}

func encode(encoder runtime.Encoder, text []byte, object runtime.Object, kind schema.GroupVersionKind, to *bytes.Buffer) error {
	if err := json.Unmarshal(text, object); err != nil {
		return err
	}
	object.GetObjectKind().SetGroupVersionKind(kind)
	return encoder.Encode(object, to)
}
