"""Logs of a few rows in their publishers' forms: which columns come out, and what an item's text is."""

import pandas as pd
from published import put, read

from benchmarks.card.sets import SETS


def test_reviews_are_a_log_of_ids_and_texts_with_stars(tmp_path):
    lines = ["u,p2,Fine ,4.0,20", "v,p1,Bad,1.0,10", "w,p1,,5.0,30", "x,p1,Bad,2.0,40"]
    text = "\n".join(["reviewerID,asin,reviewText,overall,unixReviewTime", *lines])
    put(tmp_path / "musical-instruments", "Musical_instruments_reviews.csv", text)
    found = read("musical-instruments", tmp_path)
    assert found["items"].to_numpy().tolist() == [["p1", "product p1"], ["p2", "product p2"]]
    assert found["events"].to_numpy().tolist()[0] == ["u", "p2", 20, 4.0] and len(found["events"]) == 4
    texts = read("instrument-reviews", tmp_path)["texts"]
    assert texts.to_numpy().tolist() == [["Fine", 4.0], ["Bad", 1.0]]  # no text, and the same again, are left out


def test_products_have_the_brand_and_categories_that_are_known(tmp_path):
    put(tmp_path / "amazon-hin", "user_item.dat", "1\t7\t5\t100\n2\t8\t3\t200\n")
    put(tmp_path / "amazon-hin", "item_brand.dat", "7,4\n9,1\n")
    put(tmp_path / "amazon-hin", "item_category.dat", "7,0\n7,2\n8,1\n")
    found = read("amazon-hin", tmp_path)
    items = found["items"].astype(object).where(found["items"].notna(), None)
    assert items.to_numpy().tolist() == [[7, "product 7", "4", "0 2"], [8, "product 8", None, "1"]]
    assert found["events"].to_numpy().tolist() == [[1, 7, 5.0, 100], [2, 8, 3.0, 200]]


def test_whom_traders_trust(tmp_path):
    put(tmp_path / "bitcoin-otc", "soc-sign-bitcoinotc.csv", "6,2,4,1289241912\n6,5,-10,1289241942\n")
    found = read("bitcoin-otc", tmp_path)
    assert found["items"]["text"].tolist() == ["trader 2", "trader 5"]
    assert found["events"].to_numpy().tolist() == [[6, 2, 4.0, 1289241912], [6, 5, -10.0, 1289241942]]


def test_orders_have_days_and_one_item(tmp_path):
    put(tmp_path / "cdnow", "CDNOW_master.txt", " 00001 19970101  1   11.77\n 00002 19970112  5   77.00\n")
    found = read("cdnow", tmp_path)
    events = found["events"]
    assert found["items"]["item"].tolist() == ["order"] and events["item"].eq("order").all()
    assert events[["user", "discs", "dollars"]].to_numpy().tolist() == [["00001", 1, 11.77], ["00002", 5, 77.0]]
    assert pd.to_datetime(events["time"], unit="s").astype(str).tolist() == ["1997-01-01", "1997-01-12"]


def test_restaurants_and_guests_have_features(tmp_path):
    folder = tmp_path / "restaurants"
    put(folder, "Restaurant ratings.csv", "userID,placeID,rating\nU1,9,2\n")
    place = "placeID,name,city,Rambience,price,alcohol,smoking_area,dress_code,franchise,area"
    put(
        folder,
        "Restaurant feature data.csv",
        f"{place}\n9,El Caf\xe9,?,quiet,low,Wine-Beer,none,casual,f,open\n",
        "latin-1",
    )
    guest = "userID,birth_year,drink_level,ambience,transport,personality,activity,budget"
    put(folder, "Restaurant customer data.csv", f"{guest}\nU1,1989,abstemious,family,on foot,hunter,student,?\n")
    found = read("restaurants", tmp_path)
    assert found["items"]["text"].tolist() == ["El Caf\xe9, quiet, low"]
    assert found["events"].to_numpy().tolist() == [["U1", 9, 2.0]]
    for table in ("items", "users"):
        assert set(SETS["restaurants"].data[table]["features"]) <= set(found[table])


def test_games_are_known_by_number(tmp_path):
    put(tmp_path / "video-games", "Video.txt", "1 20\n1 3\n2 20\n")
    found = read("video-games", tmp_path)
    assert found["items"].to_numpy().tolist() == [[3, "game 3"], [20, "game 20"]]
    assert found["events"].to_numpy().tolist() == [[1, 20], [1, 3], [2, 20]]


def test_stars_lie_in_several_files(tmp_path):
    put(tmp_path / "filmtrust", "ratings_0.txt", "1 7 2\r\n1 8 3.5\r\n")
    put(tmp_path / "filmtrust", "ratings_1.txt", "1 7 4\n2 8 1\n")
    found = read("film-trust", tmp_path)
    assert found["items"].to_numpy().tolist() == [[7, "film 7"], [8, "film 8"]]
    assert found["events"].to_numpy().tolist() == [[1, 8, 3.5], [1, 7, 4.0], [2, 8, 1.0]]  # the last of the same counts


def test_series_have_genres_and_a_sort(tmp_path):
    folder = tmp_path / "caserec/anime"
    put(folder, "anime_info.dat", "anime_ids\tname\tgenre\ttype\n5\tOne\tDrama, Music\tTV\n6\tTwo\t\tMovie\n")
    put(folder, "anime_ratings.dat", "User_ID\tAnime_ID\tFeedback\n1\t5\t8\n1\t9\t7\n")
    found = read("anime", tmp_path)
    assert found["items"].to_numpy().tolist() == [[5, "One: Drama, Music", "TV"]]  # of those that have events
    assert found["events"].to_numpy().tolist() == [[1, 5, 8.0]]  # of those that are in the catalogue


def test_books_have_authors_and_readers_an_age(tmp_path):
    folder = tmp_path / "caserec/book_crossing"
    put(folder, "items_info.dat", 'Book_ID\tISBN\tTitle\tAuthor\tYear\n3\t0a\tThe "Sea\tAnn\t1999\n4\t0b\tHe\t\t1\t2\n')
    put(folder, "book_ratings.dat", "user\titem\trating\n1\t3\t7.0\n2\t4\t8.0\n")
    put(folder, "users_info.dat", "User-ID\tLocation\tAge\n1\there\t24\t\n2\tthere\t\t\n9\tfar\t50\t\n")
    found = read("books", tmp_path)
    assert found["items"]["text"].tolist() == ['The "Sea by Ann', "He by ?"]
    assert found["users"].fillna(-1).to_numpy().tolist() == [[1, 24.0], [2, -1.0]]
    assert found["events"].to_numpy().tolist() == [[1, 3, 7.0], [2, 4, 8.0]]


def test_games_were_played_for_hours(tmp_path):
    folder = tmp_path / "caserec/steam"
    put(folder, "item_info.dat", "Game_ID\tGame Name\n1\tHalf\n2\tLife\n")
    put(folder, "game_play.dat", "User_ID\tGame_ID\tHours\n4\t1\t2.5\n4\t1\t2.5\n")
    found = read("games", tmp_path)
    assert found["items"].to_numpy().tolist() == [[1, "Half"]]
    assert found["events"].to_numpy().tolist() == [[4, 1, 2.5]]


def test_what_is_looked_at_and_what_is_bought_are_two_tables_of_one_catalogue(tmp_path):
    folder = tmp_path / "caserec/RetailRocket_Ecommerce"
    for name, item in (("view", 3), ("purchase", 2)):
        put(folder, f"{name}_ecommerce.dat", f"visitorid\titemid\tevent\n1\t{item}\t1\n")
    found = read("visits", tmp_path)
    assert found["items"]["text"].tolist() == ["article 2", "article 3"]
    assert [found[of].to_numpy().tolist() for of in ("views", "purchases")] == [[[1, 3]], [[1, 2]]]
