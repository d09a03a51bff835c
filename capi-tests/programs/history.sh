# Creates a repository in the current directory with git, which is the first
# argument; prints the names of all its objects.
set -euo pipefail
git=$1

git() { command "$git" -c core.fsync=none -c gc.auto=0 -c pack.threads=2 "$@"; }

git init -q -b main first
cd first

# Many commits: files that change a little each time.
for ((i = 1; i <= 600; i++)); do
    text=$(for ((j = 0; j < 30; j++)); do echo "line $((i * j % 97)) of $((i / (j + 1)))"; done)
    message="Commit $i"
    printf 'commit refs/heads/main\ncommitter Nobody <nobody@localhost> %d +0000\ndata %d\n%s\n' \
        $((1500000000 + i)) ${#message} "$message"
    printf 'M 100644 inline folder%d/file%d.txt\ndata %d\n%s\n' $((i % 7)) $((i % 40)) ${#text} "$text"
    if ((i % 50 == 0)); then printf 'D folder%d/file%d.txt\n' $((i % 7)) $((i % 40)); fi
    echo
done | git fast-import --quiet
git reset -q --hard

# Branches, merges and a rebase, with porcelain commands.
for branch in one two three; do
    git checkout -q -b "$branch" main
    for ((i = 1; i <= 8; i++)); do
        mkdir -p "$branch"
        seq "$i" $((i * 300)) >"$branch/$i.txt"
        head -c $((i * 20000)) <(yes "$branch $i") >"$branch/large$i"
        sed -i "s/^line $i /changed by $branch /" folder1/*.txt
        git add -A
        git commit -q -m "$branch $i"
    done
done
git checkout -q main
git merge -q -m "Merge one" one
git merge -q -m "Merge two" -X theirs two
git checkout -q three
git rebase -q -X theirs main
git tag -a -m "A version" version three
git checkout -q main
git merge -q --ff-only three
git cherry-pick -x one~3 --strategy-option=ours --keep-redundant-commits >../cherry 2>&1

git gc -q --aggressive --prune=now
git fsck --full --strict --no-progress
git repack -q -a -d -f --depth=60 --window=40
git clone -q --no-local --bare . ../second.git
cd ../second.git
git fsck --full --strict --no-progress && echo well

echo "commits: $(git rev-list --all --count)"
git for-each-ref
git rev-list --objects --all | sort
git log --stat --format='%H %T %s' main | tail -n 2000
git log -p --format=%h -M -C main -- folder1 | git patch-id --stable
git blame -C main -- folder1/file1.txt
git grep -c 'line [0-9]*5 of' main
git archive --format=tar main | sha256sum
git diff main~300 main --stat
