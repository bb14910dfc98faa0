#!/bin/bash

# Parameters
#SBATCH --account=vision
#SBATCH --array=0-4%3
#SBATCH --constraint='a100|h100'
#SBATCH --cpus-per-task=4
#SBATCH --dependency=aftercorr:70
#SBATCH --error='RESULTS/slurm/ARRAY/%A_%a_0_log.err'
#SBATCH --job-name=fake-toy:double
#SBATCH --kill-on-invalid-dep=yes
#SBATCH --mem=1536M
#SBATCH --nodes=1
#SBATCH --ntasks-per-node=1
#SBATCH --open-mode=append
#SBATCH --output='RESULTS/slurm/ARRAY/%A_%a_0_log.out'
#SBATCH --partition=gpu
#SBATCH --requeue
#SBATCH --signal=USR2@60
#SBATCH --time=90

# setup
module load cuda
export OMP_NUM_THREADS=1
export MKL_NUM_THREADS=1
export OPENBLAS_NUM_THREADS=1
export NUMEXPR_NUM_THREADS=1
export PYTHONSAFEPATH=1
export PYTHONPATH='RESULTS/code/SNAPSHOT'"${PYTHONPATH:+:$PYTHONPATH}"

# command
export SUBMITIT_EXECUTOR=slurm
srun --unbuffered --output 'RESULTS/slurm/ARRAY/%A_%a_%t_log.out' --error 'RESULTS/slurm/ARRAY/%A_%a_%t_log.err' --cpus-per-task=4 PYTHON -u -m submitit.core._submit 'RESULTS/slurm/ARRAY'
