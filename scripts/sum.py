#!/usr/bin/env python3
"""Sums the counts of count.py: a line per kind of test, then the total."""

import sys

rows = [line.rstrip("\n").split("\t") for line in open(sys.argv[1], encoding="utf-8")]
width = max(len(r[0]) for r in rows)
print()
for name, passed, failed, skipped, took in rows:
    print(f"{name:<{width}}  {passed:>6} passed  {failed:>3} failed  {skipped:>3} skipped  {took:>5} s")
total = [sum(int(r[i]) for r in rows) for i in (1, 2, 3)]
print(f"total: {total[0]} passed, {total[1]} failed, {total[2]} skipped")
sys.exit(1 if total[1] or not total[0] else 0)
