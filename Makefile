# The two commands a newcomer needs are tools/demo and tools/check; this file only makes them
# reachable as `make demo` and `make check`. The build itself is Meson's.

.PHONY: all check demo bench fuzz images clean install-wireshark install-wireshark-system

all:
	tools/build
check:
	tools/check
demo:
	tools/demo
bench:
	tools/bench
fuzz:
	tools/fuzz
images:
	tools/images
install-wireshark: all
	tools/install-wireshark
install-wireshark-system: all
	tools/install-wireshark --system
clean:
	rm -rf build build-* dist
