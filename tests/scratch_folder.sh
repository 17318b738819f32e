#!/bin/sh
# Prints a folder for files that nobody needs afterwards: in memory where that has two free gigabytes, else the usual one.
free=$(df -Pk /dev/shm 2>/dev/null | awk 'NR == 2 { print $4 }')
if [ "${free:-0}" -gt 2000000 ] && [ -w /dev/shm ]; then echo /dev/shm; else echo "${TMPDIR:-/tmp}"; fi
