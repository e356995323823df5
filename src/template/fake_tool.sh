#!/bin/sh
# Stands for a host tool in unit tests: runs the script that the test wrote under the name it was called by.
# An executable file that a test has just written cannot always be executed: another thread's child may still
# hold it open for writing (ETXTBSY). This one is never written.
. "${0%/*}/../scripts/${0##*/}"
