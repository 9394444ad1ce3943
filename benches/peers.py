"""Trains what people use instead, and prints what that took as JSON: peers.py logistic|bayes|fasttext FILE

FILE has a label, a tab and a text on each line. Reading it and loading the libraries is not timed. scikit-learn gets the
same sorts of terms as pg_sentiment's defaults: words and pairs of words, for logistic regression parts of words too, each in
two texts at least; the same balance of the classes, and a penalty of the same strength (its own default).
`peers.py versions` prints the versions of all that is there.
"""

import importlib.metadata
import json
import os
import sys
import tempfile
import time


def read(path):
    with open(path, encoding="utf-8") as file:
        rows = [line.rstrip("\n").split("\t", 1) for line in file]
    return [row[0] for row in rows], [row[1] for row in rows]


def logistic(path):
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline, make_union

    labels, texts = read(path)
    terms = make_union(
        TfidfVectorizer(ngram_range=(1, 2), min_df=2),
        TfidfVectorizer(analyzer="char_wb", ngram_range=(3, 5), min_df=2),
    )
    model = make_pipeline(terms, LogisticRegression(max_iter=300, class_weight="balanced"))
    return timed(lambda: model.fit(texts, labels))


def bayes(path):
    from sklearn.feature_extraction.text import CountVectorizer
    from sklearn.naive_bayes import MultinomialNB
    from sklearn.pipeline import make_pipeline

    labels, texts = read(path)
    model = make_pipeline(CountVectorizer(ngram_range=(1, 2), min_df=2), MultinomialNB())
    return timed(lambda: model.fit(texts, labels))


def fasttext(path):
    import fasttext as library

    labels, texts = read(path)
    with tempfile.NamedTemporaryFile("w", encoding="utf-8", suffix=".txt") as file:
        file.writelines(f"__label__{label} {text}\n" for label, text in zip(labels, texts))
        file.flush()
        # Its own default leaves a core out.
        cores = len(os.sched_getaffinity(0))
        return timed(lambda: library.train_supervised(file.name, wordNgrams=2, thread=cores, verbose=0))


def timed(work):
    started = time.perf_counter()
    work()
    return {"seconds": time.perf_counter() - started}


def versions():
    found = {"Python": sys.version.split()[0]}
    for name in ("vaderSentiment", "scikit-learn", "numpy", "scipy", "fasttext-wheel"):
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            pass
    return found


if __name__ == "__main__":
    works = {"logistic": logistic, "bayes": bayes, "fasttext": fasttext}
    print(json.dumps(versions() if sys.argv[1] == "versions" else works[sys.argv[1]](sys.argv[2])))
