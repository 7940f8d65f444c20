#!/bin/sh
# The program under test: counts the words of its input.
words=$(wc -w)
echo "$((words)) words on $(uname -m)"
