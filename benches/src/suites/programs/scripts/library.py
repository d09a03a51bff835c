"""A library of books: objects, dictionaries, text, JSON, and syntax trees.

Argument: the number of books. Prints a sum over the results.
"""

import ast
import collections
import json
import re
import sys
import zlib


class Book:
    """A book with its words."""

    def __init__(self, number, title, words):
        self.number = number
        self.title = title
        self.words = words
        self.lent = []


class Random:
    """The same numbers in every version of Python."""

    def __init__(self, seed):
        self.state = seed

    def below(self, limit):
        self.state = self.state * 48271 % 2147483647
        return self.state % limit


def word(random):
    return "".join("abdegiklmnoprstu"[random.below(16)] for _ in range(2 + random.below(5)))


def library(count, random):
    vocabulary = [word(random) for _ in range(3000)]
    books = []
    for number in range(count):
        words = [vocabulary[random.below(3000)] for _ in range(10 + random.below(60))]
        books.append(Book(number, " ".join(words[:3]).title(), words))
    return books


def index(books):
    places = collections.defaultdict(list)
    for book in books:
        for place, found in enumerate(book.words):
            places[found].append((book.number, place))
    return {found: tuple(all_of) for found, all_of in sorted(places.items())}


def lend(books, random):
    for _ in range(4 * len(books)):
        book = books[random.below(len(books))]
        book.lent.append({"to": f"reader {random.below(10000)}", "days": random.below(30)})
        if len(book.lent) > 5:
            book.lent.pop(0)


def written(books):
    lines = [json.dumps({"title": it.title, "lent": it.lent, "text": " ".join(it.words)}) for it in books]
    read = [json.loads(line) for line in lines]
    long = [it for it in read if re.search(r"\b[a-e]\w*\s+\w*[p-z]\b", it["text"])]
    return zlib.crc32("\n".join(lines).encode()) + len(long)


def compiled(count, random):
    total = 0
    for number in range(count // 40):
        lines = [f"def f{number}(a, b):"]
        for step in range(20):
            lines.append(f"    x{step} = [a * {random.below(99)} + b, {{'{word(random)}': (a, b)}}]")
        lines.append("    return [" + ", ".join(f"x{step}" for step in range(20)) + "]")
        tree = ast.parse("\n".join(lines))
        total += len(ast.dump(tree))
        total += len(compile(tree, "generated", "exec").co_code)
    return total


def main():
    count = int(sys.argv[1])
    random = Random(17)
    books = library(count, random)
    places = index(books)
    lend(books, random)
    total = written(books) + sum(len(all_of) * len(found) for found, all_of in places.items())
    books.sort(key=lambda book: (book.title, book.number))
    del places, books[:: 2]
    total += written(books)
    print(total + compiled(count, random))


main()
