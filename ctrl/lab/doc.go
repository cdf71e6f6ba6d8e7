// Package lab is one running lab: it joins the compiled model, the kernel's side, the fast path and the engine, applies changes in a
// safe order, owns the lab's clock, and takes everything down again. It decides nothing about packets.
package lab
