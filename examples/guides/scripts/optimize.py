"""The guide's own script, as it is, after four lines that find `src`: python scripts/optimize.py --experiment tiny_bart_lora"""

import sys
from pathlib import Path

sys.path[0] = str(Path(__file__).resolve().parents[1])

import argparse
from pathlib import Path

from src.config import ConfigLoader
from src.data import load_and_preprocess_data, DialogueSummarizationDataset
from src.optimization import OptunaOptimizer
from transformers import AutoTokenizer


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--experiment", default="baseline_kobart", help="실험 config 이름")
    parser.add_argument("--n_trials", type=int, default=50, help="Trial 횟수")
    parser.add_argument("--timeout", type=int, default=None, help="최대 실행 시간 (초)")
    parser.add_argument("--output_dir", default="outputs/optuna_results", help="결과 저장 경로")
    args = parser.parse_args()

    # Config 로드
    config_loader = ConfigLoader()
    config = config_loader.load(args.experiment)

    # 데이터 로드
    train_df, val_df = load_and_preprocess_data("data/raw/train.csv", split_ratio=0.9)

    # 토크나이저 로드
    tokenizer = AutoTokenizer.from_pretrained(config.model.name)

    # 데이터셋 생성
    train_dataset = DialogueSummarizationDataset(
        train_df["dialogue"].tolist(), train_df["summary"].tolist(), tokenizer, config
    )

    val_dataset = DialogueSummarizationDataset(
        val_df["dialogue"].tolist(), val_df["summary"].tolist(), tokenizer, config
    )

    # Optimizer 초기화
    optimizer = OptunaOptimizer(
        config=config,
        train_dataset=train_dataset,
        val_dataset=val_dataset,
        n_trials=args.n_trials,
        timeout=args.timeout,
        study_name=f"optuna_{args.experiment}",
    )

    # 최적화 실행
    study = optimizer.optimize()

    # 결과 저장
    optimizer.save_results(args.output_dir)

    # 시각화
    try:
        optimizer.plot_optimization_history(args.output_dir)
    except ImportError:
        print("plotly가 설치되지 않아 시각화를 건너뜁니다")

    print(f"\n{'=' * 60}")
    print(f"최적화 완료!")
    print(f"{'=' * 60}")
    print(f"최적 ROUGE-L F1: {optimizer.get_best_value():.4f}")
    print(f"결과 저장: {args.output_dir}")


if __name__ == "__main__":
    main()
