//go:build tools

// Package tools pins the etcd server; hack/cluster builds it from here.
package tools

import (
	_ "go.etcd.io/etcd/server/v3"
)
