// Command vpclab builds VPCs out of kernel parts on one Linux machine, checks them with real packets and removes them. It is the
// command line: arguments, signals, what is printed and the exit status. It decides nothing about packets, files or the kernel.
package main

import "os"

func main() {
	os.Exit(execute(os.Args[1:], thisMachine{}, standardConsole()))
}
