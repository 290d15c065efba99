package bed

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"slices"
	"strconv"
)

// lowestPort is above what Debian's services listen on.
const lowestPort = 10000

// FreePorts gives so many ports that nobody listens on, and that the kernel gives to
// no outgoing connection: such a port is still free when its listener comes, and
// again when that was away for a moment.
func FreePorts(number int) ([]int, error) {
	text, err := os.ReadFile("/proc/sys/net/ipv4/ip_local_port_range")
	if err != nil {
		return nil, fmt.Errorf("find free ports: %w", err)
	}
	first := 0 // of those for outgoing connections
	if _, err := fmt.Sscan(string(text), &first); err != nil || first <= lowestPort+number {
		first = 32768 // on such a machine an outgoing connection may get one
	}
	var free []int
	for range 100 * number {
		port := lowestPort + rand.IntN(first-lowestPort)
		listener, err := net.Listen("tcp", ":"+strconv.Itoa(port))
		if err != nil {
			continue
		}
		if err := listener.Close(); err != nil {
			return nil, fmt.Errorf("find free ports: %w", err)
		}
		if !slices.Contains(free, port) {
			free = append(free, port)
		}
		if len(free) == number {
			return free, nil
		}
	}
	return nil, errors.New("find free ports: all are taken")
}
