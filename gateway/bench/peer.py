"""The peer: Flask around a pipeline of scikit-learn, run by gunicorn. TRAINING is a file of label, tab, text."""

import os

from flask import Flask, jsonify, request
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

with open(os.environ["TRAINING"], encoding="utf-8") as rows:
    labels, texts = zip(*(row.rstrip("\n").split("\t", 1) for row in rows))
model = make_pipeline(TfidfVectorizer(ngram_range=(1, 2)), LogisticRegression(max_iter=1000)).fit(texts, labels)
app = Flask(__name__)


@app.post("/v1/sentiment")
def sentiment():
    shares = model.predict_proba([request.get_json()["text"]])[0]
    return jsonify(label=model.classes_[shares.argmax()], probabilities=dict(zip(model.classes_, shares)))
