#!/bin/sh
# Stands for a real build: makes out/program.txt of words.txt.
set -e
mkdir -p out
sort words.txt | uniq -c | sort -rn > out/count.txt
echo "$(wc -l < out/count.txt) words, the first is $(awk 'NR == 1 { print $2 }' out/count.txt), made on $(uname -m)" > out/program.txt
