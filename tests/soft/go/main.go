// Goroutines on all processors: garbage, channels, preemption of a busy loop, a nil pointer, sockets.
package main

import (
	"fmt"
	"io"
	"net"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"example.com/soft/work"
)

func parallel(n int, f func(i int)) {
	var wg sync.WaitGroup
	for i := 0; i < n; i++ {
		wg.Add(1)
		go func(i int) {
			defer wg.Done()
			f(i)
		}(i)
	}
	wg.Wait()
}

func channels() (sum int64) {
	c := make(chan int)
	go func() {
		for i := 0; i < 50000; i++ {
			c <- i
		}
		close(c)
	}()
	parallel(50, func(int) {
		for v := range c {
			atomic.AddInt64(&sum, int64(v))
		}
	})
	return
}

// collect runs the collector, which has to stop a goroutine that never calls anything.
func collect() {
	var stop int32
	go func() {
		for x := 1; ; x++ {
			if x&0xffff == 0 && atomic.LoadInt32(&stop) != 0 {
				return
			}
		}
	}()
	for i := 0; i < 20; i++ {
		time.Sleep(time.Millisecond)
		runtime.GC()
	}
	atomic.StoreInt32(&stop, 1)
}

func recovered() (text string) {
	defer func() { text = fmt.Sprint(recover()) }()
	var p *[4]int
	return fmt.Sprint(p[2])
}

func echoes() (good int64) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return -1
	}
	defer l.Close()
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go io.Copy(c, c)
		}
	}()
	parallel(50, func(int) {
		c, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			return
		}
		defer c.Close()
		b := make([]byte, 5)
		for i := 0; i < 50; i++ {
			c.Write([]byte("hello"))
			if _, err := io.ReadFull(c, b); err == nil && string(b) == "hello" {
				atomic.AddInt64(&good, 1)
			}
		}
	})
	return
}

func main() {
	var nodes int64
	digests := make([]string, 4)
	parallel(4, func(i int) {
		digests[i] = work.Digest(i)
		atomic.AddInt64(&nodes, work.Trees(10, 12))
	})
	fmt.Println(digests, nodes)
	fmt.Println("channels", channels())
	collect()
	fmt.Println(recovered())
	fmt.Println("echoes", echoes())
}
