from tensorflow import data as data
