"""Files of a few texts in their publishers' forms become tables of texts with labels."""

import json
import zipfile

import pytest
from published import put, read


def test_questions_have_two_labels_and_all_test_rows(tmp_path):
    put(tmp_path / "trec", "train_5500.label", "\n".join(f"NUM:dist How far is {n} ?" for n in range(30)))
    put(tmp_path / "trec", "TREC_10.label", "\n".join(f"HUM:desc Who was {n} ?" for n in range(10)))
    texts = read("trec", tmp_path, 100)["texts"]
    assert texts["split"].value_counts().to_dict() == {"test": 10, "train": 9, "valid": 1}
    assert texts.iloc[-1].tolist() == ["Who was 9 ?", "HUM", "HUM:desc", "test"]


def test_what_is_told_to_an_assistant_is_put_together(tmp_path):
    said = {"PlayMusic": [{"data": [{"text": "play "}, {"text": "Kind of Blue", "entity": "album"}, {"text": "\n"}]}]}
    for name in ("train_PlayMusic_full", "validate_PlayMusic"):
        put(tmp_path / "snips", f"{name}.json", json.dumps(said))
    texts = read("snips", tmp_path)["texts"]
    assert texts.to_numpy().tolist() == [["play Kind of Blue", "PlayMusic", split] for split in ("train", "test")]


def test_messages_keep_their_quotes_and_lose_the_mark_of_order(tmp_path):
    put(tmp_path / "sms-spam", "SMSSpamCollection", '\ufeffham\tOk "lar\nspam\tFree NA\nham\tOk "lar\n')
    assert read("sms-spam", tmp_path)["texts"].to_numpy().tolist() == [["ham", 'Ok "lar'], ["spam", "Free NA"]]


def test_tweets_have_a_mood(tmp_path):
    put(tmp_path / "airline-tweets", "Tweets.csv", "tweet_id,airline_sentiment,text\n1,negative,late…\n2,positive,ok\n")
    found = read("airline-tweets", tmp_path)["texts"]
    assert found.to_numpy().tolist() == [["late…", "negative"], ["ok", "positive"]]


def test_sentences_of_three_sites_are_three_tables(tmp_path):
    for of in ("amazon_cells", "imdb", "yelp"):
        put(tmp_path / "labelled-sentences", f"{of}_labelled.txt", f'Review\tLiked\n"{of}" is good.  \t1\nBad.\t0\n')
    found = read("labelled-sentences", tmp_path)
    assert list(found) == ["amazon_cells", "imdb", "yelp"]
    assert found["imdb"].to_numpy().tolist() == [['"imdb" is good.', "good"], ["Bad.", "bad"]]


FILES = {
    "customer-reviews": ("custrev", "neg", "pos"),
    "film-lines": ("rt-polarity", "neg", "pos"),
    "opinions": ("mpqa", "neg", "pos"),
    "subjectivity": ("subj", "objective", "subjective"),
}


@pytest.mark.parametrize("name", FILES)
def test_of_two_files_each_has_a_class(tmp_path, name):
    file, first, second = FILES[name]
    put(tmp_path / "sent-conv-torch", f"{file}.{first}", "shop closed . \nbad\n")
    put(tmp_path / "sent-conv-torch", f"{file}.{second}", "good\nbad\n")
    assert read(name, tmp_path)["texts"].to_numpy().tolist() == [
        ["shop closed .", first],
        ["bad", first],
        ["good", second],
    ]


@pytest.mark.parametrize(("name", "file"), [("waimai", "waimai_10k.csv"), ("hotels", "ChnSentiCorp_htl_all.csv")])
def test_chinese_reviews_are_good_or_bad(tmp_path, name, file):
    put(tmp_path / "chinese-nlp", file, "label,review\n1,很快\n0,\n0,没有送水\n")
    assert read(name, tmp_path)["texts"].to_numpy().tolist() == [["很快", "good"], ["没有送水", "bad"]]


def test_reviews_of_a_shop_say_of_what_they_are(tmp_path):
    (tmp_path / "chinese-nlp").mkdir()
    with zipfile.ZipFile(tmp_path / "chinese-nlp/online_shopping_10_cats.zip", "w") as packed:
        packed.writestr("online_shopping_10_cats.csv", "cat,label,review\n书籍,1,\ufeff真好\n水果,0,烂了\n")
    found = read("online-shopping", tmp_path)["texts"]
    assert found[["cat", "text", "mood"]].to_numpy().tolist() == [["书籍", "真好", "good"], ["水果", "烂了", "bad"]]


def test_judgements_count_questions_by_their_place(tmp_path):
    folder = tmp_path / "cranfield"
    abstracts = [f".I {n}\n.T\ntitle {n}\n.A\nx\n.B\ny\n.W\n{'flow' if n < 3 else ''}\n  over {n}\n" for n in (1, 2, 3)]
    put(folder, "cran.all.1400", "".join([*abstracts, ".I 4\n.T\n.A\n.B\n.W\n"]))
    put(folder, "cran.qry", ".I 001\n.W\nwhat is\nflow .\n.I 004\n.W\nwhy .\n")
    put(folder, "cranqrel", "1 2 3 \n1 3 -1\n2 1 4 \n2 4 2\n")
    found = read("cranfield", tmp_path)
    assert found["items"].iloc[0].tolist() == ["1", "title 1 flow over 1"] and len(found["items"]) == 3
    assert found["queries"].to_numpy().tolist() == [["what is flow .", "2"], ["why .", "1"]]


def _tweets(folder, part, lines, labels):
    put(folder, f"{part}_text.txt", "\n".join(f"{line} " for line in lines))
    put(folder, f"{part}_labels.txt", "\n".join(labels))


@pytest.mark.parametrize("name", ["emotion", "irony", "offensive"])
def test_tweets_have_the_name_that_their_number_stands_for(tmp_path, name):
    folder = tmp_path / "tweeteval" / name
    put(folder, "mapping.txt", "0\tnone\n1\tsome")
    _tweets(folder, "train", [f"so {n} …" for n in range(20)], ["1"] * 20)
    _tweets(folder, "val", ["left out"], ["0"])
    _tweets(folder, "test", ["ok", "no"], ["0", "1"])
    texts = read(f"tweets-{name}", tmp_path)["texts"]
    assert texts["split"].value_counts().to_dict() == {"train": 18, "valid": 2, "test": 2}
    assert texts.iloc[0].tolist()[:2] == ["so 0 …", "some"] and texts.iloc[-2].tolist() == ["ok", "none", "test"]


def test_stances_are_a_table_a_subject_as_it_is_divided(tmp_path):
    folder, subjects = tmp_path / "tweeteval/stance", ["abortion", "atheism", "climate", "feminist", "hillary"]
    put(folder, "mapping.txt", "0\tnone\n1\tagainst\n2\tfavor\n")
    for subject in subjects:
        for part in ("train", "val", "test"):
            _tweets(folder / subject, part, [f"{subject} in {part}"], ["2"])
    found = read("tweets-stance", tmp_path)
    assert list(found) == subjects
    splits = {"train": "train", "val": "valid", "test": "test"}
    expected = [[f"climate in {part}", "favor", split] for part, split in splits.items()]
    assert found["climate"].to_numpy().tolist() == expected


def test_headlines_name_one_whatever_quotes_are_in_its_name(tmp_path):
    lines = ["1,Fund up,{'Osian's Fund': 'positive'},2", "2,\"A, B\",\"{'A': 'neutral', 'B': 'negative'}\",2"]
    put(tmp_path / "sentfin", "SEntFiN.csv", "\n".join(["S No.,Title,Decisions,Words", *lines]))
    assert read("headlines", tmp_path)["texts"].to_numpy().tolist() == [["Fund up", "positive"]]


def test_three_assistants_are_three_tables(tmp_path):
    said = [{"text": f"go {n} ", "intent": "Way", "training": n < 10, "entities": []} for n in range(12)]
    for name in ("AskUbuntu", "WebApplications", "Chatbot"):
        put(tmp_path / "nlu-evaluation-corpora", f"{name}Corpus.json", json.dumps({"sentences": said}))
    found = read("assistants", tmp_path)
    assert list(found) == ["questions", "applications", "travels"]
    assert found["travels"]["split"].value_counts().to_dict() == {"train": 8, "valid": 2, "test": 2}
    assert found["travels"].iloc[-1].tolist() == ["go 11", "Way", "test"]
