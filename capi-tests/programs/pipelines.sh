# Pipelines of standard utilities in the current directory, sorts in memory and
# with temporary files, and shell arrays; prints checksums.
set -euo pipefail
export LC_ALL=C.UTF-8 TZ=UTC

awk 'BEGIN {
    r = 1
    for (i = 0; i < 200000; i++) {
        r = (r * 16807) % 2147483647
        printf "%d\t%x\tword%d\t%s\n", r % 5000, r, r % 777, substr("abcdefghijklmnopqrstuvwxyz", 1 + r % 20)
    }
}' >data

sort --parallel=4 -S 60M data | sha256sum
sort --parallel=2 -S 1M -T . -k2,2 -k1,1n data | sha256sum
sort -u -t $'\t' -k3,3V -k4,4 data | sha256sum
sort -R --random-source=data -S 20M data | sort | cmp - <(sort data) && echo "the same lines"
sort -m <(head -n 90000 data | sort) <(tail -n +90001 data | sort) | cmp - <(sort data) && echo merged

cut -f 3 data | sort | uniq -c | sort -k1,1nr -k2 | sed -n 1,20p
join -t $'\t' <(cut -f 1,2 data | sort -u -k1,1) <(cut -f 1,4 data | sort -u -k1,1) | sha256sum
comm -12 <(cut -f 2 data | sed -n 1,100000p | sort -u) <(cut -f 2 data | tail -n 100001 | sort -u) | sha256sum
paste -d, <(cut -f 1 data) <(tac data | cut -f 2) <(cut -f 3 data) | sha256sum
tr a-z A-Z <data | sed -E 's/WORD([0-9]+)/\1-\1/; /^1/d; s/(.)(.)$/\2\1/' | sha256sum
grep -cE '(word7+)|([0-9a-f])\2\2' data
awk -F'\t' '{ n[$3] += $1; t[$3] = t[$3] substr($4, 1, 1) } END { for (k in n) print k, n[k], length(t[k]) }' data | sort | sha256sum
fold -w 37 data | nl | shuf --random-source=data | sha256sum
split -l 1500 data part.
find . -name 'part.*' -print0 | sort -z | xargs -0 -P 4 -n 8 sha1sum | sort -k2 | sha256sum
tar --sort=name --mtime=@0 --owner=0 --group=0 -cf - part.* | gzip -n -9 | sha256sum
factor $(seq 1000000007 1000000100) | sha256sum
seq 1 400000 | od -A d -t x1z | md5sum
seq 1 100000 | base64 | base64 -d | cksum
ls -l --time-style=+ part.* | awk '{ s += $5 } END { print s }'
# (diff exits with 1 if it found differences.)
{ diff <(seq 1 30000) <(seq 1 30000 | sed '/77/d; s/^5/6/') || true; } | sha256sum

# The shell itself.
declare -A count
declare -a list
text=
while IFS=$'\t' read -r number hex word rest; do
    count[$word]=$((${count[$word]:-0} + number))
    list+=("$hex")
    text+=${rest:0:2}
    if ((${#text} > 5000)); then text=${text//ab/B}; text=${text:2500}; fi
done < <(head -n 30000 data)
for word in "${!count[@]}"; do echo "$word ${count[$word]}"; done | sort | sha256sum
printf '%s\n' "${list[@]:100:20000}" | sha256sum
echo "${#list[@]} ${text^^}" | sha256sum
fibonacci() { if (($1 < 2)); then echo "$1"; else echo $(($(fibonacci $(($1 - 1))) + $(fibonacci $(($1 - 2))))); fi; }
fibonacci 9
long=$(printf 'x%.0s' {1..200000})
echo ${#long} $(echo "$long" | wc -c)
for i in 1 2 3 4; do (
    for ((k = 0; k < 3000; k++)); do own[k]=$i$k; done
    echo "${own[*]}" | md5sum >job.$i
) & done
wait
cat job.?
